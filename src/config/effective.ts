// `sluice config`: the value of every setting, as YAML with its source in a comment, or as JSON.
// Both are configuration files that give the same values again.

import path from 'node:path'
import { Document, isPair, isScalar } from 'yaml'
import { isUrl } from './kinds.ts'
import type { LoadedConfig } from './load.ts'
import { SETTING_ENTRIES } from './settings.ts'

/** The text of a configuration file, with the source of each value as a comment. */
export function configYaml(loaded: LoadedConfig): string {
  const document = new Document(fileOf(loaded))
  document.commentBefore = ` the configuration in effect; read from ${loaded.file ?? 'no file'}`
  for (const [name, { key }] of SETTING_ENTRIES) {
    const keys = key.split('.')
    const value = document.getIn(keys, true)
    const comment = ` ${loaded.origins[name]}`
    if (isScalar(value)) value.comment = comment
    else noteBefore(document, keys, comment)
  }
  return document.toString({ lineWidth: 0 })
}

/** The same values as JSON, which is YAML too. */
export const configJson = (loaded: LoadedConfig): string =>
  `${JSON.stringify(fileOf(loaded), null, 2)}\n`

/** By key, with nested groups; paths are absolute, so that the file can be moved. */
function fileOf({ config, sources }: LoadedConfig): object {
  const root: Record<string, unknown> = {}
  for (const [name, { key, kind }] of SETTING_ENTRIES) {
    const [outer = '', inner] = key.split('.')
    const value = config[name]
    const isPath = kind.isPath === true && typeof value === 'string' && value !== '' &&
      !isUrl(value)
    const shown = isPath ? path.resolve(sources.cwd, value) : kind.toFile?.(value) ?? value
    if (inner === undefined) root[outer] = shown
    else root[outer] = { ...root[outer] as object | undefined, [inner]: shown }
  }
  return root
}

/** Maps and lists may span several lines, so their comment is put above them. */
function noteBefore(document: Document, keys: readonly string[], comment: string): void {
  const parent = document.getIn(keys.slice(0, -1), true)
  const items = (parent as { readonly items?: readonly unknown[] } | undefined)?.items ?? []
  for (const pair of items) {
    if (!isPair(pair) || !isScalar(pair.key) || pair.key.value !== keys.at(-1)) continue
    pair.key.commentBefore = comment
  }
}
