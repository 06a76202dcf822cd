// The shown branch of a conversation. It follows the end of a growing answer until the reader
// scrolls up, and again once the reader is back at the end.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t } from '../i18n';
import { shownTurns } from '../model/tree';
import { ask, modelOf, sent } from '../state/chat';
import { current, running, storageWorks } from '../state/conversations';
import { loadModels, models, modelsFailure } from '../state/server';
import { FailureCard } from './failure_card';
import { Icon } from './icons';
import { spoken } from './notice';
import { TurnView, propsOf } from './turn_view';

const nearEnd = 48; // pixels

function tryOut(text: string): void {
  document.getElementById('input')?.focus();
  void ask(text);
}

function Empty() {
  const model = modelOf(current.value);
  const demo = model === 'hadal-demo';
  const tries = demo ? [t('tryCard'), t('tryWeights'), t('tryWho')] : [];
  return (
    <div class="empty">
      <h1>{t('emptyTitle')}</h1>
      {model && <p>{demo ? t('emptyDemo') : t('emptyModel', { model })}</p>}
      <div class="tries">
        {tries.map((text) => (
          <button key={text} type="button" onClick={() => tryOut(text)}>{text}</button>
        ))}
      </div>
    </div>
  );
}

// Keeps `scroller` at its end while `content` grows; returns whether it does and a way back.
function useFollow(id: string) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const lastTop = useRef(0);
  const [following, setFollowing] = useState(true);
  const set = (on: boolean) => {
    follow.current = on;
    setFollowing(on);
  };
  const toEnd = () => {
    set(true);
    scroller.current!.scrollTop = scroller.current!.scrollHeight;
  };
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!;
    const atEnd = scrollHeight - scrollTop - clientHeight < nearEnd;
    if (atEnd) set(true);
    else if (scrollTop < lastTop.current) set(false);
    lastTop.current = scrollTop;
  };
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (follow.current) scroller.current!.scrollTop = scroller.current!.scrollHeight;
      else onScroll();
    });
    observer.observe(content.current!);
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(toEnd, [id, sent.value]);
  return { scroller, content, following, toEnd, onScroll };
}

export function Thread() {
  const c = current.value;
  const turns = shownTurns(c);
  const busy = running.value.has(c.id);
  const wasBusy = useRef(false);
  const { scroller, content, following, toEnd, onScroll } = useFollow(c.id);
  useEffect(() => {
    if (busy !== wasBusy.current) spoken.value = t(busy ? 'writing' : 'written');
    wasBusy.current = busy;
  }, [busy]);
  const failure = turns.length === 0 ? modelsFailure.value : null;
  return (
    <div class="thread">
      <div ref={scroller} class="scroller" onScroll={onScroll} tabIndex={-1}>
        <div ref={content} class="column" role="log" aria-live="off" aria-label={t('conversation')}>
          {!storageWorks.value && <p class="mark">{t('storageFailed')}</p>}
          {failure && <FailureCard failure={failure} onRetry={() => void loadModels()} />}
          {turns.length === 0 && (models.value.length > 0 || !failure) && <Empty />}
          {turns.map((turn, i) => turn.role !== 'tool' && (
            <TurnView key={turn.id} {...propsOf(turn, turns[i + 1], busy)} />
          ))}
        </div>
      </div>
      {!following && (
        <button type="button" class="to-latest" onClick={toEnd}>
          <Icon name="toEnd" />{t('toLatest')}
        </button>
      )}
    </div>
  );
}
