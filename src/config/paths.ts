// Paths in settings: ~ is the home folder, and paths in a file are relative to that file.

import path from 'node:path'
import type { Environment } from './environment.ts'
import { isUrl } from './kinds.ts'

/** '~/data' → '/home/ann/data', '~' → '/home/ann'; '~bob/data' and all else are unchanged. */
export function expandHome(text: string, env: Environment): string {
  const home = env['HOME']
  if (home === undefined || home === '' || !/^~(\/|$)/.test(text)) return text
  return path.join(home, text.slice(1))
}

/** Whether the path begins with a ~ that was not expanded; `./~` names a file of that name. */
export const isUnexpanded = (text: string): boolean => text.startsWith('~')

export const UNEXPANDED = 'with ~ only as the home folder, ~/…'

/** A relative path in a file is relative to that file. */
export function besideFile(file: string, text: string): string {
  return text === '' || path.isAbsolute(text) || isUnexpanded(text) || isUrl(text)
    ? text : path.join(path.dirname(file), text)
}
