import { dirname, resolve } from 'node:path'
import type { ConfigFile, FileValue } from './config-file.ts'
import type { Files } from './files.ts'
import { quote } from './mask.ts'
import { secretFromFile } from './secret-files.ts'
import {
  type Environment,
  fileVariable,
  type SettingName,
  secretNames,
  settingNames,
  settingOf,
  type Values,
} from './settings.ts'

/** What is known so far: whatever was wrong or missing is left out. */
export interface ReadSettings {
  values: Partial<Values>
  faults: string[]
  /** Set by somebody, rightly or wrongly. */
  isSet: (name: SettingName) => boolean
  /** What to call a variable in a message: its name, or its path in the file that set it. */
  label: (name: SettingName) => string
}

interface Given extends FileValue {
  /** What a relative path is relative to. */
  folder: string
}

/** Every variable by itself: what was said of it, or its default. */
export function readSettings(
  environment: Environment,
  file: ConfigFile | undefined,
  files: Files,
): ReadSettings {
  const given = gather(environment, file)
  const values: Partial<Record<SettingName, unknown>> = {}
  const faults = givenTwice(environment)
  for (const name of settingNames) {
    const source = given.get(name) ?? defaultOf(name)
    if (source) readValue(name, source, files, { values, faults })
    // A file that can't be read might have said it: one fault is enough then.
    else if (settingOf(name).required && !file?.unusable)
      faults.push(`${name} is missing: ${settingOf(name).required}`)
  }
  return {
    values: values as Partial<Values>,
    faults,
    isSet: (name) => given.has(name),
    label: (name) => given.get(name)?.label ?? name,
  }
}

/** The environment wins over the file. An empty variable counts as unset. */
function gather(environment: Environment, file: ConfigFile | undefined): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>()
  for (const name of settingNames) {
    const text = environment[name]?.trim()
    const path = settingOf(name).secret && environment[fileVariable(name)]?.trim()
    const inFile = file?.values.get(name)
    if (text) given.set(name, { text, label: name, folder: '' })
    else if (path) given.set(name, { text: path, label: fileVariable(name), folder: '', isFile: true })
    else if (file && inFile) given.set(name, { ...inFile, folder: dirname(file.path) })
  }
  return given
}

function givenTwice(environment: Environment): string[] {
  const twice = secretNames.filter(
    (name) => environment[name]?.trim() && environment[fileVariable(name)]?.trim(),
  )
  return twice.map((name) => `${name} and ${fileVariable(name)} are both set: remove one`)
}

function defaultOf(name: SettingName): Given | undefined {
  const text = settingOf(name).default
  return text === undefined ? undefined : { text, label: name, folder: '' }
}

function readValue(
  name: SettingName,
  { text, label, folder, isFile }: Given,
  files: Files,
  { values, faults }: { values: Partial<Record<SettingName, unknown>>; faults: string[] },
): void {
  const { parse, isPath, secret } = settingOf(name)
  try {
    const value = parse(isFile ? secretFromFile(resolve(folder, text), files) : text)
    values[name] = isPath ? resolve(folder, String(value)) : value
  } catch (error) {
    faults.push(`${label} ${(error as Error).message}${secret ? '' : ` (it is ${quote(text)})`}`)
  }
}
