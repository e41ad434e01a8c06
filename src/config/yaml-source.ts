// YAML text as values with their line numbers. Duplicate keys, warnings and syntax errors are
// problems, never guesses. Pure: config-file.ts reads the file.

import { type Document, LineCounter, isNode, parseDocument } from 'yaml'

/** A YAML text that could be read. */
export interface YamlSource {
  readonly value: unknown
  /** The line, from 1, of the value at a path; of the nearest enclosing value where it has none. */
  lineOf(path: readonly string[]): number
}

/** Why a YAML text cannot be used, and the line. */
export interface YamlFault {
  readonly line: number
  readonly message: string
}

/** Limit of alias expansion: beyond it, the text is an attack or a mistake. */
const ALIASES_MAX = 100

/** Reads one document. */
export function parseYaml(text: string):
  { ok: true; source: YamlSource } | { ok: false; faults: readonly YamlFault[] } {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, {
    lineCounter, uniqueKeys: true, prettyErrors: false, stringKeys: false,
  })
  const faults = [...document.errors, ...document.warnings].map((error) => ({
    line: lineCounter.linePos(error.pos[0]).line, message: error.message,
  }))
  if (faults.length > 0) return { ok: false, faults }
  try {
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX })
    return { ok: true, source: { value, lineOf: (path) => lineOf(document, lineCounter, path) } }
  } catch (error) {
    return { ok: false, faults: [{ line: 1, message: (error as Error).message }] }
  }
}

function lineOf(document: Document, lineCounter: LineCounter, path: readonly string[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lineCounter.linePos(node.range[0]).line
  }
  return 1
}
