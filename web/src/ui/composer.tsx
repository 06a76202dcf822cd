// Where a person writes.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t } from '../i18n';
import { ask, stop } from '../state/chat';
import { current, running } from '../state/conversations';
import { IconButton } from './icons';

const drafts = new Map<string, string>(); // of conversations that were left while writing

export function Composer() {
  const { id } = current.value;
  const busy = running.value.has(id);
  const area = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState('');
  useLayoutEffect(() => setText(drafts.get(id) ?? ''), [id]);
  useLayoutEffect(() => {
    const field = area.current!;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`; // its limit is in the style sheet
  }, [text]);
  const write = (value: string) => {
    setText(value);
    if (value) drafts.set(id, value);
    else drafts.delete(id);
  };
  const send = () => {
    if (busy || !text.trim()) return;
    write('');
    void ask(text.trim());
  };
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <div class="field">
        <textarea
          id="input" ref={area} rows={1} value={text} placeholder={t('placeholder')}
          aria-label={t('message')} aria-describedby="input-hint" autofocus
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        {busy
          ? <IconButton icon="stop" label={t('stop')} class="send stop" onClick={() => stop()} />
          : <IconButton icon="send" label={t('send')} class="send" disabled={!text.trim()} onClick={send} />}
      </div>
      <p id="input-hint" class="quiet">{t('inputHint')}</p>
    </form>
  );
}
