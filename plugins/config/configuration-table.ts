import { type SettingName, settingNames, settingOf } from './settings.ts'

/** The Markdown table of all variables, for the README, which a test compares with it. */
export function configurationTable(): string {
  const rows = settingNames.map((name) => `| \`${name}\` | ${defaultOf(name)} | ${settingOf(name).meaning} |`)
  return ['| Variable | Default | Meaning |', '|---|---|---|', ...rows].join('\n')
}

function defaultOf(name: SettingName): string {
  const { default: text, defaultText, required } = settingOf(name)
  if (required) return 'required'
  return defaultText ?? (text === undefined ? '–' : `\`${text}\``)
}
