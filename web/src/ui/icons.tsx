// The icons of the page: strokes on a grid of 20, in the colour of the text.
const paths = {
  plus: 'M10 4v12M4 10h12',
  search: 'M9 4a5 5 0 1 1 0 10A5 5 0 0 1 9 4ZM13 13l3.5 3.5',
  sidebar: 'M3.5 4.5h13v11h-13zM8 4.5v11',
  settings: 'M4 6h7M15 6h1M4 14h1M9 14h7M11 6a2 2 0 1 0 4 0a2 2 0 1 0-4 0M5 14a2 2 0 1 0 4 0a2 2 0 1 0-4 0',
  help: 'M10 17a7 7 0 1 0 0-14a7 7 0 0 0 0 14ZM8 8.2a2 2 0 1 1 2.7 1.9c-.5.2-.7.5-.7 1.1M10 13.6v.1',
  more: 'M5 10a.4.4 0 1 0 .1 0M10 10a.4.4 0 1 0 .1 0M15 10a.4.4 0 1 0 .1 0',
  send: 'M10 16V4.5M5 9.5l5-5l5 5',
  stop: 'M6 6h8v8H6z',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  check: 'M4.5 10.5l3.5 3.5l7.5-8',
  edit: 'M4 16l.8-3.3L13 4.5l2.5 2.5l-8.2 8.2L4 16ZM11.5 6l2.5 2.5',
  again: 'M15.5 10a5.5 5.5 0 1 1-1.7-4M15.5 3v3.5H12',
  left: 'M12 5l-5 5l5 5',
  right: 'M8 5l5 5l-5 5',
  down: 'M5 8l5 5l5-5',
  close: 'M5 5l10 10M15 5L5 15',
  tool: 'M12.5 4a3.5 3.5 0 0 0-3.3 4.7L4 13.9L6.1 16l5.2-5.2A3.5 3.5 0 0 0 16 7.5l-2.2 1l-2-2l1-2.4z',
  warning: 'M10 4l7 12H3zM10 8.5v3.5M10 14v.1',
  toEnd: 'M10 4v10M5.5 10l4.5 4.5l4.5-4.5',
};
export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}

interface ButtonProps {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  class?: string;
  disabled?: boolean;
  pressed?: boolean;
}

// A button that is only an icon: its label is its tooltip and its name.
export function IconButton({ icon, label, onClick, disabled, pressed, ...rest }: ButtonProps) {
  return (
    <button
      type="button" class={`icon-button ${rest.class ?? ''}`} aria-label={label} title={label}
      onClick={onClick} disabled={disabled} aria-pressed={pressed}
    >
      <Icon name={icon} />
    </button>
  );
}
