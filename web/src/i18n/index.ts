// The texts of the page in the chosen language.
import { computed, signal } from '@preact/signals';
import { type Texts, en } from './en';
import { zh } from './zh';

export type Language = 'en' | 'zh';
const texts: Record<Language, Texts> = { en, zh };

export function languageOf(tags: readonly string[]): Language {
  for (const tag of tags) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

export const language = signal<Language>('en');
export const languageTag = computed(() => (language.value === 'zh' ? 'zh-CN' : 'en'));

export function t(key: keyof Texts, values: Record<string, string | number> = {}): string {
  return texts[language.value][key].replace(/\{(\w+)\}/g, (all, name) => String(values[name] ?? all));
}

export function formatNumber(n: number, digits = 0): string {
  return n.toLocaleString(languageTag.value, {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}

export function formatDuration(ms: number): string {
  if (ms < 1000) return `${formatNumber(ms)} ms`;
  if (ms < 60_000) return t('seconds', { n: formatNumber(ms / 1000, ms < 10_000 ? 1 : 0) });
  const seconds = Math.round(ms / 1000);
  return t('minutes', { m: Math.floor(seconds / 60), s: seconds % 60 });
}
