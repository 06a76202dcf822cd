// Settings: what goes with the requests of this conversation, and what this browser prefers.
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { type Language, formatNumber, language, t } from '../i18n';
import { readTools } from '../model/request';
import { type Effort, type Settings, defaultSettings } from '../model/types';
import { changeSettings, current } from '../state/conversations';
import {
  type Theme, apiKey, chooseLanguage, keepDefaults, rememberKey, theme,
} from '../state/preferences';
import { loadModels } from '../state/server';
import { Dialog } from './dialog';
import { closeLayer, layer } from './layers';
import { notify } from './notice';

const exampleTools = JSON.stringify([{
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Current weather of a city',
    parameters: {
      type: 'object', properties: { city: { type: 'string' } }, required: ['city'],
    },
  },
}], null, 2);

const set = (change: Partial<Settings>) => changeSettings({ ...current.value.settings, ...change });

interface NumberProps {
  label: string;
  value: number | null;
  min: number;
  max: number;
  step: number;
  slider?: boolean;
  onChange: (value: number | null) => void;
}

// Empty means the server's default.
function NumberSetting({ label, value, min, max, step, slider, onChange }: NumberProps) {
  const id = useId();
  const read = (text: string) => {
    const n = Number(text);
    if (text === '') onChange(null);
    else if (Number.isFinite(n) && n >= min && n <= max) onChange(step === 1 ? Math.trunc(n) : n);
  };
  return (
    <div class="setting number">
      <label for={id}>{label}</label>
      {slider && (
        <input
          type="range" min={min} max={max} step={step} value={value ?? (min + max) / 2}
          data-unset={value === null} aria-label={label}
          onInput={(event) => read(event.currentTarget.value)}
        />
      )}
      <input
        id={id} type="number" min={min} max={max} step={step} value={value ?? ''}
        placeholder={t('serverDefault')} onInput={(event) => read(event.currentTarget.value)}
      />
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: [T, string][];
  onChange: (value: T) => void;
}

function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class="setting choice">
      <legend>{label}</legend>
      <div>
        {options.map(([option, text]) => (
          <label key={option}>
            <input
              type="radio" name={name} checked={option === value} onChange={() => onChange(option)}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function ToolsSetting({ text }: { text: string }) {
  const { tools, problem, detail } = readTools(text);
  const message = problem === 'json' ? t('toolsJson', { detail: detail ?? '' })
    : problem === 'list' ? t('toolsList')
    : problem === 'function' ? t('toolsFunction')
    : tools.length ? t('toolsOk', { n: formatNumber(tools.length) }) : t('toolsHelp');
  return (
    <div class="setting">
      <label for="tools">{t('tools')}</label>
      <textarea
        id="tools" class="mono" rows={4} spellcheck={false} value={text} aria-describedby="tools-note"
        aria-invalid={problem !== ''} onInput={(event) => set({ tools: event.currentTarget.value })}
      />
      <p id="tools-note" class={problem ? 'wrong' : 'quiet'}>{message}</p>
      {!text && (
        <button type="button" onClick={() => set({ tools: exampleTools })}>{t('toolsExample')}</button>
      )}
    </div>
  );
}

function ChatSettings() {
  const s = current.value.settings;
  const efforts: [Effort, string][] = [['', t('effortDefault')],
    ...(['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const)
      .map((effort): [Effort, string] => [effort, effort])];
  return (
    <section>
      <h3>{t('forThisChat')}</h3>
      <div class="setting">
        <label for="system">{t('systemPrompt')}</label>
        <textarea
          id="system" rows={4} value={s.system} placeholder={t('systemPlaceholder')}
          onInput={(event) => set({ system: event.currentTarget.value })}
        />
      </div>
      <NumberSetting
        label={t('temperature')} value={s.temperature} min={0} max={2} step={0.05} slider
        onChange={(temperature) => set({ temperature })}
      />
      <NumberSetting
        label={t('topP')} value={s.topP} min={0.01} max={1} step={0.01} slider
        onChange={(topP) => set({ topP })}
      />
      <NumberSetting
        label={t('maxTokens')} value={s.maxTokens} min={1} max={10_000_000} step={1}
        onChange={(maxTokens) => set({ maxTokens })}
      />
      <NumberSetting
        label={t('seed')} value={s.seed} min={0} max={Number.MAX_SAFE_INTEGER} step={1}
        onChange={(seed) => set({ seed })}
      />
      <Choice
        label={t('thinkingMode')} value={s.thinking}
        options={[['default', t('thinkingDefault')], ['enabled', t('on')], ['disabled', t('off')]]}
        onChange={(thinking) => set({ thinking })}
      />
      <label class="setting inline">
        <span>{t('effort')}</span>
        <select
          value={s.effort}
          onChange={(event) => set({ effort: event.currentTarget.value as Effort })}
        >
          {efforts.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
      </label>
      <ToolsSetting text={s.tools} />
      <div class="row">
        <button
          type="button"
          onClick={() => {
            keepDefaults(s);
            notify(t('keptDefaults'));
          }}
        >{t('keepDefaults')}</button>
        <button type="button" onClick={() => set({ ...defaultSettings, model: s.model })}>
          {t('reset')}
        </button>
      </div>
    </section>
  );
}

function KeySetting({ focused }: { focused: boolean }) {
  const [shown, setShown] = useState(false);
  const before = useRef(apiKey.value);
  useEffect(() => {
    return () => { if (apiKey.value !== before.current) void loadModels(); };
  }, []);
  return (
    <div class="setting">
      <label for="key">{t('apiKey')}</label>
      <div class="row">
        <input
          id="key" autofocus={focused} class="grow mono" type={(shown ? 'text' : 'password') as 'password'}
          autocomplete="off" spellcheck={false} value={apiKey.value} aria-describedby="key-note"
          onInput={(event) => {
            // A header carries visible ASCII only.
            apiKey.value = event.currentTarget.value.replace(/[^\x21-\x7e]/g, '');
          }}
        />
        <button type="button" onClick={() => setShown(!shown)}>{t(shown ? 'hide' : 'show')}</button>
      </div>
      <p id="key-note" class="quiet">{t('apiKeyHelp')}</p>
      <label class="check">
        <input
          type="checkbox" checked={rememberKey.value}
          onChange={(event) => { rememberKey.value = event.currentTarget.checked; }}
        />
        <span>{t('remember')}</span>
      </label>
    </div>
  );
}

export function SettingsPanel() {
  const focusKey = layer.value?.name === 'settings' && layer.value.focusKey === true;
  return (
    <Dialog kind="panel" title={t('settings')} onClose={closeLayer}>
      <ChatSettings />
      <section>
        <h3>{t('forThisBrowser')}</h3>
        <Choice<Language>
          label={t('language')} value={language.value}
          options={[['en', 'English'], ['zh', '简体中文']]} onChange={chooseLanguage}
        />
        <Choice<Theme>
          label={t('theme')} value={theme.value}
          options={[['system', t('system')], ['light', t('light')], ['dark', t('dark')]]}
          onChange={(value) => { theme.value = value; }}
        />
        <KeySetting focused={focusKey} />
      </section>
    </Dialog>
  );
}
