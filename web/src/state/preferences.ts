// What this browser prefers: language, theme, the API key when it may be kept, settings of new
// conversations. Browsers may refuse localStorage; then choices last as long as the page.
import { effect, signal } from '@preact/signals';
import { type Language, language, languageOf, languageTag } from '../i18n';
import { readSettings } from '../model/transfer';
import type { Settings } from '../model/types';

export type Theme = 'system' | 'light' | 'dark';

function read(name: string): string | null {
  try {
    return localStorage.getItem(`hadal.${name}`);
  } catch {
    return null;
  }
}

function write(name: string, value: string | null): void {
  try {
    if (value === null || value === '') localStorage.removeItem(`hadal.${name}`);
    else localStorage.setItem(`hadal.${name}`, value);
  } catch {
    // Not kept: nothing else depends on it.
  }
}

const storedTheme = read('theme');
export const theme = signal<Theme>(
  storedTheme === 'light' || storedTheme === 'dark' ? storedTheme : 'system');
effect(() => {
  // theme.ts reads the same entry before the page is drawn.
  write('theme', theme.value === 'system' ? null : theme.value);
  if (theme.value === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});

const storedLanguage = read('language');
language.value = storedLanguage === 'en' || storedLanguage === 'zh' ? storedLanguage
  : languageOf(navigator.languages ?? [navigator.language]);
effect(() => {
  document.documentElement.lang = languageTag.value;
});
export function chooseLanguage(value: Language): void {
  language.value = value;
  write('language', value);
}

export const apiKey = signal(read('key') ?? '');
export const rememberKey = signal(apiKey.value !== '');
effect(() => write('key', rememberKey.value ? apiKey.value : null));

function storedDefaults(): Settings {
  try {
    return readSettings(JSON.parse(read('settings') ?? '{}'));
  } catch {
    return readSettings({});
  }
}
export const defaults = signal<Settings>(storedDefaults());
export function keepDefaults(settings: Settings): void {
  defaults.value = settings;
  write('settings', JSON.stringify(settings));
}

// On a phone the list lies over the conversation, so it starts closed and is not remembered.
export const isNarrow = () => matchMedia('(max-width: 760px)').matches;
export const sidebarShown = signal(!isNarrow() && read('sidebar') !== 'hidden');
export function showSidebar(shown: boolean): void {
  sidebarShown.value = shown;
  if (!isNarrow()) write('sidebar', shown ? null : 'hidden');
}
