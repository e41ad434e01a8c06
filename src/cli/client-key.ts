// The API key that a command presents: in the file that --key-file names, else in SLUICE_KEY. Never
// the value of a flag, since every process of a machine may read the flags of the others.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { keyIdOf } from '../access/api-key.ts'
import { type Environment, readVariable } from '../config/environment.ts'
import { KEY_ENV } from '../config/settings.ts'

export const KEY_FLAG = '--key-file <file>'
export const KEY_FLAG_HELP = 'a file with the API key, which is read from the variable ' +
  `${KEY_ENV} otherwise`

/** A key, or none, or what is wrong with it; the message does not quote it. */
type ClientKey = { readonly key: string | undefined } | { readonly problem: string }

/** @param file the value of --key-file, if given. */
export function readClientKey(
  file: string | undefined, { cwd, env }: { readonly cwd: string, readonly env: Environment },
): ClientKey {
  if (file === undefined) return checked(readVariable(env, KEY_ENV), KEY_ENV)
  try {
    return checked(readFileSync(path.resolve(cwd, file), 'utf8').trim(), file)
  } catch (error) {
    return { problem: `--key-file ${file} cannot be read: ${(error as Error).message}` }
  }
}

function checked(key: string | undefined, where: string): ClientKey {
  const isKey = key === undefined || (keyIdOf(key) !== undefined && /^\w+$/.test(key))
  return isKey ? { key } : { problem: `${where} has no API key, which is like slk_<id>_<secret>` }
}
