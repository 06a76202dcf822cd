// The keys that work anywhere on the page; help_dialog.tsx lists them.
import { newChat, current, running } from '../state/conversations';
import { stop } from '../state/chat';
import { showSidebar, sidebarShown } from '../state/preferences';
import { layer } from './layers';

export const isApple = /mac|iphone|ipad/i.test(navigator.platform);

const focus = (id: string) => requestAnimationFrame(() => document.getElementById(id)?.focus());

function moveBetweenTurns(step: number): void {
  const turns = [...document.querySelectorAll<HTMLElement>('article.turn')];
  const at = turns.findIndex((turn) => turn.contains(document.activeElement));
  const to = at < 0 ? turns.at(-1) : turns[at + step];
  if (to) to.focus();
  else if (step > 0) document.getElementById('input')?.focus();
}

const withControl: Record<string, () => void> = {
  KeyK: () => {
    showSidebar(true);
    focus('search');
  },
  KeyB: () => showSidebar(!sidebarShown.value),
  Comma: () => { layer.value = { name: 'settings' }; },
  Slash: () => { layer.value = { name: 'help' }; },
};

function run(event: KeyboardEvent): boolean {
  if (layer.value || event.isComposing) return false;
  const control = isApple ? event.metaKey : event.ctrlKey;
  if (control && event.shiftKey && event.code === 'KeyO') {
    newChat();
    focus('input');
  } else if (control && !event.shiftKey && !event.altKey && withControl[event.code]) {
    withControl[event.code]!();
  } else if (event.altKey && event.key === 'ArrowUp') {
    moveBetweenTurns(-1);
  } else if (event.altKey && event.key === 'ArrowDown') {
    moveBetweenTurns(1);
  } else if (event.key === 'Escape' && running.value.has(current.value.id)) {
    stop();
  } else if (event.key === 'Escape' && document.activeElement?.closest('article')) {
    focus('input');
  } else {
    return false;
  }
  return true;
}

export function listen(): void {
  addEventListener('keydown', (event) => {
    if (!event.defaultPrevented && run(event)) event.preventDefault();
  });
}
