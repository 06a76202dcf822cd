// Which dialog is open; at most one.
import { signal } from '@preact/signals';

export type Layer =
  | { name: 'settings'; focusKey?: boolean }
  | { name: 'help' }
  | { name: 'rename' | 'delete'; id: string; title: string };

export const layer = signal<Layer | null>(null);
export const closeLayer = () => { layer.value = null; };
