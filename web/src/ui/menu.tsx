// A button with a list of actions: arrow keys move, Escape or a click elsewhere closes.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type IconName, IconButton } from './icons';

export interface Action {
  label: string;
  run: () => void;
  danger?: boolean;
}

const edge = 8; // pixels between the menu and the window's edge

function place(list: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = list;
  const below = at.bottom + 4 + height + edge <= innerHeight;
  list.style.left = `${Math.max(edge, Math.min(at.left, innerWidth - width - edge))}px`;
  list.style.top = `${below ? at.bottom + 4 : Math.max(edge, at.top - height - 4)}px`;
}

export function Menu({ label, icon, actions }: { label: string; icon: IconName; actions: Action[] }) {
  const [open, setOpen] = useState(false);
  const list = useRef<HTMLDivElement>(null);
  const root = useRef<HTMLSpanElement>(null);
  const button = () => root.current!.querySelector('button')!;
  const close = () => {
    setOpen(false);
    button().focus();
  };
  useLayoutEffect(() => {
    if (!open) return;
    list.current!.showPopover();
    place(list.current!, button());
    list.current!.querySelector('button')!.focus();
  }, [open]);

  const onKey = (event: KeyboardEvent) => {
    const items = [...list.current!.querySelectorAll('button')];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === 'Escape' || event.key === 'Tab') close();
    else if (to !== undefined) items.at(to % items.length)!.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <span ref={root} class="menu">
      <IconButton icon={icon} label={label} onClick={() => setOpen(!open)} />
      {open && (
        <div
          ref={list} class="menu-list" role="menu" aria-label={label} popover="auto" onKeyDown={onKey}
          onToggle={(event) => event.newState === 'closed' && setOpen(false)}
        >
          {actions.map((action) => (
            <button
              key={action.label} type="button" role="menuitem" tabIndex={-1}
              class={action.danger ? 'danger' : ''}
              onClick={() => {
                close();
                action.run();
              }}
            >
              {action.label}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
