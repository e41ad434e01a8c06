// `sluice config`: every setting's value as a file that gives the same values again, as YAML with
// where each comes from, or as JSON.

import path from 'node:path'
import { Document, isPair, isScalar } from 'yaml'
import type { LoadedConfig } from './load.ts'
import { SETTING_ENTRIES } from './settings.ts'

/** A file's text, with the source of each value as a comment behind it. */
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

/** By keys, the groups as maps of their own; paths do not depend on where the file lies. */
function fileOf({ config, sources }: LoadedConfig): object {
  const root: Record<string, unknown> = {}
  for (const [name, { key, kind }] of SETTING_ENTRIES) {
    const [outer = '', inner] = key.split('.')
    const value = config[name]
    const isPath = kind.isPath === true && typeof value === 'string' && value !== ''
    const shown = isPath ? path.resolve(sources.cwd, value) : kind.toFile?.(value) ?? value
    if (inner === undefined) root[outer] = shown
    else root[outer] = { ...root[outer] as object | undefined, [inner]: shown }
  }
  return root
}

/** Maps and lists may take several lines, so that a comment stands above them. */
function noteBefore(document: Document, keys: readonly string[], comment: string): void {
  const parent = document.getIn(keys.slice(0, -1), true)
  const items = (parent as { readonly items?: readonly unknown[] } | undefined)?.items ?? []
  for (const pair of items) {
    if (!isPair(pair) || !isScalar(pair.key) || pair.key.value !== keys.at(-1)) continue
    pair.key.commentBefore = comment
  }
}
