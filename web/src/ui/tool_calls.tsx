// The calls that a model asks for. The page runs nothing: the person types what each tool returned.
import { useState } from 'preact/hooks';
import { t } from '../i18n';
import type { ToolCall, Turn } from '../model/types';
import { sendResults } from '../state/chat';
import { highlightJson } from './json_text';
import { Icon } from './icons';

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // still streaming, or not JSON: as it is
  }
}

function Call({ call, children }: { call: ToolCall; children?: preact.ComponentChildren }) {
  return (
    <div class="call">
      <h3><Icon name="tool" /><code>{call.name}</code></h3>
      <pre tabindex={0} aria-label={t('arguments')}>{highlightJson(pretty(call.arguments))}</pre>
      {children}
    </div>
  );
}

interface Props {
  turn: Turn;
  given: Turn | undefined; // the shown turn with the results
  busy: boolean;
}

export function ToolCalls({ turn, given, busy }: Props) {
  const calls = turn.toolCalls!;
  const stored = new Map(given?.results?.map((r) => [r.callId, r.content]));
  const [texts, setTexts] = useState<Record<number, string>>({});
  const [editing, setEditing] = useState(false);
  const open = turn.finish === 'tool_calls' && (!given || editing);
  const textOf = (i: number) => texts[i] ?? stored.get(calls[i]!.id) ?? '';
  const complete = calls.every((_, i) => textOf(i).trim());
  const send = (event: Event) => {
    event.preventDefault();
    if (!complete || busy) return;
    setEditing(false);
    void sendResults(turn, calls.map((call, i) => ({ callId: call.id, content: textOf(i) })));
  };
  return (
    <form class="calls" aria-label={t('toolCalls')} onSubmit={send}>
      {calls.map((call, i) => (
        <Call key={call.id || i} call={call}>
          {open ? (
            <label>
              <span>{t('toolResult', { name: call.name })}</span>
              <textarea
                rows={3} value={textOf(i)} placeholder={t('resultPlaceholder')}
                onInput={(event) => setTexts({ ...texts, [i]: event.currentTarget.value })}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send(event);
                }}
              />
            </label>
          ) : stored.has(call.id) && (
            <div class="given">
              <span>{t('result')}</span>
              <pre tabindex={0}>{stored.get(call.id)}</pre>
            </div>
          )}
        </Call>
      ))}
      {open ? (
        <button key="send" type="submit" class="primary" disabled={!complete || busy}>
          {t('sendResults')}
        </button>
      ) : given && (
        // A key of its own: reused, it would turn into a submitting button under the click.
        <button key="edit" type="button" disabled={busy} onClick={() => setEditing(true)}>
          {t('editResults')}
        </button>
      )}
    </form>
  );
}
