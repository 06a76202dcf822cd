// The bar above a conversation: model, how full its context is, settings.
import { formatNumber, t } from '../i18n';
import { shownTurns } from '../model/tree';
import { modelOf } from '../state/chat';
import { changeSettings, current, newChat } from '../state/conversations';
import { showSidebar, sidebarShown } from '../state/preferences';
import { models } from '../state/server';
import { IconButton } from './icons';
import { layer } from './layers';

function ModelPicker() {
  const c = current.value;
  return (
    <select
      class="model" aria-label={t('model')} value={modelOf(c)}
      onChange={(event) => changeSettings({ ...c.settings, model: event.currentTarget.value })}
    >
      {models.value.length === 0 && <option value="">{t('noModel')}</option>}
      {models.value.map(({ id }) => <option key={id} value={id}>{id}</option>)}
    </select>
  );
}

function ContextMeter() {
  const c = current.value;
  const all = models.value.find((model) => model.id === modelOf(c))?.context_length;
  const last = shownTurns(c).findLast((turn) => turn.figures?.promptTokens !== undefined)?.figures;
  if (!all || !last) return null;
  const used = last.promptTokens! + last.completionTokens;
  const label = t('contextUsed', { used: formatNumber(used), all: formatNumber(all) });
  return (
    <span class="context" title={label}>
      <meter min={0} max={all} high={all * 0.8} optimum={0} value={used} aria-label={label} />
      <span aria-hidden="true">{formatNumber(used)} / {formatNumber(all)}</span>
    </span>
  );
}

export function Header() {
  return (
    <header class="bar">
      {!sidebarShown.value && (
        <IconButton icon="sidebar" label={t('showSidebar')} onClick={() => showSidebar(true)} />
      )}
      <ModelPicker />
      <span class="grow" />
      <ContextMeter />
      {!sidebarShown.value && <IconButton icon="plus" label={t('newChat')} onClick={newChat} />}
      <IconButton
        icon="settings" label={t('settings')}
        onClick={() => { layer.value = { name: 'settings' }; }}
      />
    </header>
  );
}
