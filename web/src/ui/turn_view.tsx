// One turn: a person's message or an answer, with what can be done to it.
import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatDuration, formatNumber, t } from '../i18n';
import { choose, neighbour, siblings } from '../model/tree';
import type { Turn } from '../model/types';
import { editMessage, regenerate } from '../state/chat';
import { change, current, save } from '../state/conversations';
import { copy } from './clipboard';
import { FailureCard } from './failure_card';
import { FiguresLine } from './figures_line';
import { Icon, IconButton } from './icons';
import { MarkdownView } from './markdown_view';
import { ToolCalls } from './tool_calls';

export interface TurnProps {
  turn: Turn;
  results: Turn | undefined; // of its tool calls
  position: number; // among its siblings, from 1
  versions: number;
  busy: boolean; // an answer is under way in this conversation
}

// Runs what puts another turn in this one's place; the focus stays at the place.
function inPlace(action: () => void): void {
  const turns = () => [...document.querySelectorAll<HTMLElement>('article.turn')];
  const at = turns().findIndex((turn) => turn.contains(document.activeElement));
  action();
  if (at < 0) return;
  requestAnimationFrame(() => {
    if (document.activeElement === document.body) turns()[at]?.focus({ preventScroll: true });
  });
}

const again = (turn: Turn) => inPlace(() => void regenerate(turn));

function switchBranch(turn: Turn, step: number): void {
  const { id } = current.value;
  const next = neighbour(current.value, turn, step);
  if (!next) return;
  inPlace(() => change(id, (c) => choose(c, next)));
  void save(id);
}

function Branches({ turn, position, versions, busy }: TurnProps) {
  if (versions < 2) return null;
  return (
    <span class="branches" role="group" aria-label={t('branch', { n: position, all: versions })}>
      <IconButton
        icon="left" label={t('previousBranch')} disabled={busy || position === 1}
        onClick={() => switchBranch(turn, -1)}
      />
      <span>{position}/{versions}</span>
      <IconButton
        icon="right" label={t('nextBranch')} disabled={busy || position === versions}
        onClick={() => switchBranch(turn, 1)}
      />
    </span>
  );
}

function CopyButton({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  const run = async () => {
    if (!(await copy(text))) return;
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return <IconButton icon={done ? 'check' : 'copy'} label={t('copy')} class="copy" onClick={run} />;
}

function Editor({ turn, onDone }: { turn: Turn; onDone: () => void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(turn.content);
  useEffect(() => {
    area.current!.focus();
    area.current!.setSelectionRange(text.length, text.length);
  }, []);
  const send = () => {
    if (!text.trim()) return;
    onDone();
    void editMessage(turn, text.trim());
  };
  return (
    <form class="editor" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <textarea
        ref={area} aria-label={t('editMessage')} value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone();
          else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send();
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      />
      <div class="row">
        <span class="quiet grow">{t('editHint')}</span>
        <button type="button" onClick={onDone}>{t('cancel')}</button>
        <button type="submit" class="primary" disabled={!text.trim()}>{t('saveAndSend')}</button>
      </div>
    </form>
  );
}

function UserTurn(props: TurnProps & { editing: boolean; setEditing: (on: boolean) => void }) {
  const { turn, busy, editing, setEditing } = props;
  if (editing) return <Editor turn={turn} onDone={() => setEditing(false)} />;
  return (
    <>
      <div class="said">{turn.content}</div>
      <div class="actions">
        <Branches {...props} />
        <CopyButton text={turn.content} />
        <IconButton
          icon="edit" label={t('edit')} class="edit" disabled={busy} onClick={() => setEditing(true)}
        />
      </div>
    </>
  );
}

function Thinking({ turn }: { turn: Turn }) {
  const active = !turn.finish && !turn.content && !turn.toolCalls;
  const tokens = turn.figures?.reasoningTokens;
  const title = active ? t('thinking') : turn.reasoningMs !== undefined
    ? t('thought', { time: formatDuration(turn.reasoningMs) }) : t('thoughtNoTime');
  return (
    <details class="thinking" data-active={active}>
      <summary>
        <Icon name="right" />
        <span class="title">{title}</span>
        {active && turn.reasoningMs !== undefined && <span>{formatDuration(turn.reasoningMs)}</span>}
        {tokens !== undefined && tokens > 0 && (
          <span>{turn.figures!.exact ? '' : '≈ '}{t('nTokens', { n: formatNumber(tokens) })}</span>
        )}
      </summary>
      <div class="thoughts" tabIndex={0}>{turn.reasoning}</div>
    </details>
  );
}

function AnswerTurn(props: TurnProps) {
  const { turn, results, busy } = props;
  const writing = !turn.finish;
  const retry = busy ? undefined : () => again(turn);
  const waiting = writing && !turn.content && !turn.reasoning && !turn.toolCalls;
  return (
    <>
      {turn.reasoning && <Thinking turn={turn} />}
      {waiting && <div class="waiting"><span class="pulse" />{t('waiting')}</div>}
      {turn.content && <MarkdownView source={turn.content} growing={writing} />}
      {turn.toolCalls && <ToolCalls turn={turn} given={results} busy={busy} />}
      {turn.failure && <FailureCard failure={turn.failure} onRetry={retry} />}
      {turn.finish === 'length' && <p class="mark" title={t('lengthHelp')}>{t('lengthMark')}</p>}
      {turn.finish === 'stopped' && <p class="mark">{t('stoppedMark')}</p>}
      {!writing && (
        <div class="actions">
          <Branches {...props} />
          {turn.content && <CopyButton text={turn.content} />}
          {!turn.failure && (
            <IconButton
              icon="again" label={t('regenerate')} class="again" disabled={busy}
              onClick={() => again(turn)}
            />
          )}
          {turn.figures && <FiguresLine figures={turn.figures} />}
        </div>
      )}
    </>
  );
}

export const TurnView = memo((props: TurnProps) => {
  const { turn, busy } = props;
  const [editing, setEditing] = useState(false);
  const root = useRef<HTMLElement>(null);
  const isUser = turn.role === 'user';
  const onKey = (event: KeyboardEvent) => {
    if (event.target !== root.current || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'c') void copy(turn.content);
    else if (event.key === 'e' && isUser && !busy) setEditing(true);
    else if (event.key === 'r' && !isUser && !busy) again(turn);
    else if (event.key === 'ArrowLeft' && !busy) switchBranch(turn, -1);
    else if (event.key === 'ArrowRight' && !busy) switchBranch(turn, 1);
    else if (event.key === 't') root.current!.querySelector('summary')?.click();
    else return;
    event.preventDefault();
  };
  return (
    <article
      ref={root} class={`turn ${turn.role}`} tabIndex={-1} aria-label={t(isUser ? 'you' : 'assistant')}
      aria-busy={turn.role === 'assistant' && !turn.finish} onKeyDown={onKey}
    >
      {isUser ? <UserTurn {...props} editing={editing} setEditing={setEditing} />
        : <AnswerTurn {...props} />}
    </article>
  );
});

export function propsOf(turn: Turn, next: Turn | undefined, busy: boolean): TurnProps {
  const versions = siblings(current.value, turn);
  return {
    turn,
    results: next?.role === 'tool' ? next : undefined,
    position: versions.findIndex((other) => other.id === turn.id) + 1,
    versions: versions.length,
    busy,
  };
}
