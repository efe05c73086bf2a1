import { fileVariable, type SettingName, secretNames, settingNames, settingOf } from './settings.ts'

/** The Markdown table of all variables, for the README, which a test compares with it. */
export function configurationTable(): string {
  const rows = settingNames.map((name) => `| \`${name}\` | ${defaultOf(name)} | ${settingOf(name).meaning} |`)
  return ['| Variable | Default | Meaning |', '|---|---|---|', ...rows, secretFiles()].join('\n')
}

function secretFiles(): string {
  const names = secretNames.map((name) => `\`${fileVariable(name)}\``).join(', ')
  return `| ${names} | – | Path of a file that holds the value, instead of the variable without \`_FILE\`: for secrets that Kubernetes or Docker mount. A line break at its end doesn't count |`
}

function defaultOf(name: SettingName): string {
  const { default: text, defaultText, required } = settingOf(name)
  if (required) return 'required'
  return defaultText ?? (text === undefined ? '–' : `\`${text}\``)
}
