// The list of conversations, by day, with search.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { t } from '../i18n';
import { current, heads, newChat, openChat, running, search } from '../state/conversations';
import { isNarrow, showSidebar, sidebarShown } from '../state/preferences';
import type { Head } from '../state/store';
import icon from '../../static/icon.svg';
import { chooseImport, exportAll, exportChat } from './exporting';
import { Icon, IconButton } from './icons';
import { layer } from './layers';
import { Menu } from './menu';

const searchDelayMs = 150;
const dayMs = 86_400_000;

type Age = 'today' | 'yesterday' | 'week' | 'older';

function ageOf(time: number): Age {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return 'today';
  if (time >= midnight - dayMs) return 'yesterday';
  return time >= midnight - 7 * dayMs ? 'week' : 'older';
}

function Entry({ head }: { head: Head }) {
  const title = head.title || t('untitled');
  const ask = (name: 'rename' | 'delete') => { layer.value = { name, id: head.id, title }; };
  const isCurrent = current.value.id === head.id;
  return (
    <li class="chat-entry" data-current={isCurrent}>
      <button
        type="button" class="chat-title" aria-current={isCurrent ? 'page' : undefined}
        onClick={() => {
          void openChat(head.id);
          if (isNarrow()) showSidebar(false);
        }}
        onKeyDown={(event) => {
          if (event.key === 'F2') ask('rename');
          if (event.key === 'Delete') ask('delete');
        }}
      >
        {running.value.has(head.id) && <span class="pulse" aria-label={t('writing')} role="img" />}
        <span class="ellipsis">{title}</span>
      </button>
      <Menu
        icon="more" label={t('actionsFor', { title })}
        actions={[
          { label: t('rename'), run: () => ask('rename') },
          { label: t('exportMarkdown'), run: () => void exportChat(head.id, 'markdown') },
          { label: t('exportJson'), run: () => void exportChat(head.id, 'json') },
          { label: t('delete'), run: () => ask('delete'), danger: true },
        ]}
      />
    </li>
  );
}

function Entries({ list }: { list: Head[] }) {
  const ages: Age[] = ['today', 'yesterday', 'week', 'older'];
  return (
    <>
      {ages.map((age) => {
        const of = list.filter((head) => ageOf(head.updated) === age);
        return of.length > 0 && (
          <section key={age}>
            <h2>{t(age)}</h2>
            <ul>{of.map((head) => <Entry key={head.id} head={head} />)}</ul>
          </section>
        );
      })}
    </>
  );
}

export function Sidebar() {
  const query = useSignal('');
  const found = useSignal<Set<string> | null>(null);
  const list = heads.value;
  useEffect(() => {
    if (!query.value.trim()) {
      found.value = null;
      return;
    }
    const timer = setTimeout(() => {
      void search(query.value).then((ids) => { if (query.value.trim()) found.value = ids; });
    }, searchDelayMs);
    return () => clearTimeout(timer);
  }, [query.value, list]);
  const shown = found.value ? list.filter((head) => found.value!.has(head.id)) : list;
  return (
    <nav class="sidebar" aria-label={t('showSidebar')} hidden={!sidebarShown.value}>
      <div class="sidebar-head">
        <span class="brand"><img src={icon} alt="" />{t('appName')}</span>
        <IconButton icon="sidebar" label={t('hideSidebar')} onClick={() => showSidebar(false)} />
      </div>
      <button
        type="button" class="new-chat"
        onClick={() => {
          newChat();
          if (isNarrow()) showSidebar(false);
          document.getElementById('input')?.focus();
        }}
      >
        <Icon name="plus" />{t('newChat')}
      </button>
      <label class="search">
        <Icon name="search" />
        <input
          id="search" type="search" placeholder={t('search')} aria-label={t('search')}
          value={query.value} onInput={(event) => { query.value = event.currentTarget.value; }}
        />
      </label>
      <div class="chat-list">
        {shown.length ? <Entries list={shown} />
          : <p class="quiet">{t(query.value.trim() ? 'noMatch' : 'noChats')}</p>}
      </div>
      <div class="sidebar-foot">
        <Menu
          icon="more" label={t('moreActions')}
          actions={[
            { label: t('import'), run: chooseImport },
            { label: t('exportAll'), run: () => void exportAll() },
          ]}
        />
        <IconButton icon="help" label={t('help')} onClick={() => { layer.value = { name: 'help' }; }} />
      </div>
    </nav>
  );
}
