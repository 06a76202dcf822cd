// Renaming and deleting a conversation.
import { useState } from 'preact/hooks';
import { t } from '../i18n';
import { stop } from '../state/chat';
import { remove, rename } from '../state/conversations';
import { Dialog } from './dialog';
import { closeLayer } from './layers';

interface Props {
  id: string;
  title: string;
}

export function RenameDialog({ id, title }: Props) {
  const [name, setName] = useState(title);
  const send = (event: Event) => {
    event.preventDefault();
    if (name.trim()) void rename(id, name.trim());
    closeLayer();
  };
  return (
    <Dialog kind="box" title={t('rename')} onClose={closeLayer}>
      <form onSubmit={send}>
        <label class="setting">
          <span>{t('newName')}</span>
          <input
            type="text" value={name} maxLength={200} autofocus
            onFocus={(event) => event.currentTarget.select()}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <div class="row end">
          <button type="button" onClick={closeLayer}>{t('cancel')}</button>
          <button type="submit" class="primary" disabled={!name.trim()}>{t('save')}</button>
        </div>
      </form>
    </Dialog>
  );
}

export function DeleteDialog({ id, title }: Props) {
  const run = () => {
    stop(id);
    closeLayer();
    void remove(id);
  };
  return (
    <Dialog kind="box" title={t('deleteTitle')} onClose={closeLayer}>
      <p>{t('deleteText', { title })}</p>
      <div class="row end">
        <button type="button" autofocus onClick={closeLayer}>{t('cancel')}</button>
        <button type="button" class="danger" onClick={run}>{t('delete')}</button>
      </div>
    </Dialog>
  );
}
