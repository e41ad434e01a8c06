// Generates the content of src/shapes/scan/module.ts: scan.wat beside it, assembled, as text that
// can be imported.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import loadWabt from 'wabt'

const SOURCE = path.resolve(import.meta.dirname, '../src/shapes/scan/scan.wat')
/** The generated file. */
export const MODULE = path.resolve(import.meta.dirname, '../src/shapes/scan/module.ts')
const TEXT_CHARS_MAX = 92

/** Assembles the module. Rejects with the line and column of an error in it. */
export async function moduleSource(): Promise<string> {
  const { parseWat } = await loadWabt()
  const parsed = parseWat('scan.wat', readFileSync(SOURCE, 'utf8'))
  parsed.validate()
  const { buffer } = parsed.toBinary({})
  parsed.destroy()
  const text = Buffer.from(buffer).toString('base64')
  const pieces = text.match(new RegExp(`.{1,${TEXT_CHARS_MAX}}`, 'g')) ?? []
  return [
    '// scan.wat, assembled by `npm run wasm`: do not edit.',
    '',
    '/** The binary. */',
    'export const MODULE_BASE64 =',
    ...pieces.map((piece, at) => `  '${piece}'${at === pieces.length - 1 ? '' : ' +'}`),
    '',
  ].join('\n')
}
