// What went wrong, where, and what can be done about it.
import { t } from '../i18n';
import type { Failure } from '../model/types';
import { newChat } from '../state/conversations';
import { Icon } from './icons';
import { layer } from './layers';

function messageOf(failure: Failure): string {
  if (failure.code === 'network') return t('network');
  if (failure.code === 'broken') return t('broken');
  return failure.message;
}

function helpFor(failure: Failure): string {
  if (failure.code === 'context_length_exceeded') return t('overflowHelp');
  if (failure.status === 401) return t('keyHelp');
  if (failure.status === 429 || failure.status === 503) return t('queueHelp');
  return '';
}

export function FailureCard({ failure, onRetry }: { failure: Failure; onRetry?: () => void }) {
  const help = helpFor(failure);
  const settings = failure.field !== undefined || failure.code === 'context_length_exceeded';
  return (
    <div class="failure" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{t('failed')}</strong>
        <p>{messageOf(failure)}</p>
        {help && <p>{help}</p>}
        {failure.retryAfterSeconds && <p>{t('retryAfter', { n: failure.retryAfterSeconds })}</p>}
        <p class="details">
          {failure.field && <span>{t('field')}: <code>{failure.field}</code></span>}
          {failure.code && <span>{t('code')}: <code>{failure.code}</code></span>}
          {failure.status && <span>HTTP {failure.status}</span>}
        </p>
        <div class="row">
          {onRetry && <button type="button" class="primary" onClick={onRetry}>{t('retry')}</button>}
          {failure.status === 401 && (
            <button
              type="button" onClick={() => { layer.value = { name: 'settings', focusKey: true }; }}
            >{t('enterKey')}</button>
          )}
          {settings && (
            <button type="button" onClick={() => { layer.value = { name: 'settings' }; }}>
              {t('openSettings')}
            </button>
          )}
          {failure.code === 'context_length_exceeded' && (
            <button type="button" onClick={newChat}>{t('newChat')}</button>
          )}
        </div>
      </div>
    </div>
  );
}
