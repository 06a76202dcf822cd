// The page: list of conversations, the conversation, dialogs over both.
import { effect } from '@preact/signals';
import { render } from 'preact';
import { t } from './i18n';
import { current, startConversations } from './state/conversations';
import { showSidebar, sidebarShown } from './state/preferences';
import { loadModels } from './state/server';
import { DeleteDialog, RenameDialog } from './ui/chat_dialogs';
import { Composer } from './ui/composer';
import { Header } from './ui/header';
import { HelpDialog } from './ui/help_dialog';
import { layer } from './ui/layers';
import { Notice } from './ui/notice';
import { SettingsPanel } from './ui/settings_panel';
import { listen } from './ui/shortcuts';
import { Sidebar } from './ui/sidebar';
import { Thread } from './ui/thread';

function Layers() {
  const open = layer.value;
  if (!open) return null;
  if (open.name === 'settings') return <SettingsPanel />;
  if (open.name === 'help') return <HelpDialog />;
  return open.name === 'rename' ? <RenameDialog {...open} /> : <DeleteDialog {...open} />;
}

function Page() {
  return (
    <>
      <a class="skip" href="#input" onClick={(event) => {
        event.preventDefault();
        document.getElementById('input')!.focus();
      }}>{t('skipToInput')}</a>
      <Sidebar />
      {sidebarShown.value && <div class="scrim" onClick={() => showSidebar(false)} />}
      <main>
        <Header />
        <Thread />
        <Composer />
      </main>
      <Layers />
      <Notice />
    </>
  );
}

effect(() => {
  document.title = current.value.title ? `${current.value.title} – Hadal` : 'Hadal';
});
listen();
void loadModels();
await startConversations();
render(<Page />, document.getElementById('page')!);
