// The kinds of values that settings have: each is a zod schema that accepts text (from a flag or
// the environment) or a YAML value, with one sentence that describes what is expected.

import { isIP } from 'node:net'
import { z } from 'zod'
import {
  formatBytes, formatDurationMs, formatSize, parseBytes, parseDecimal, parseDurationMs, parseSwitch,
} from '../base/quantities.ts'

/** How the values of a setting are parsed, explained and shown. */
export interface Kind<T> {
  readonly schema: z.ZodType<T>
  /** Completes "expected …". */
  readonly expected: string
  /** The placeholder in a help text, `<size>`; empty for a switch without a value. */
  readonly argument: string
  readonly format: (value: T) => string
  /** The value in a configuration file, where it differs: exact and parseable. */
  readonly toFile?: (value: T) => unknown
  /** A path: relative to the file that names it; ~ is the home folder. */
  readonly isPath?: true
}

/** Parses text; any other value is left to the schema behind. */
const fromText = (parse: (text: string) => unknown) => (given: unknown): unknown =>
  typeof given === 'string' ? parse(given) : given

function numberKind(
  schema: z.ZodNumber, range: { min: number; max: number; expected: string; argument: string },
  parse: (text: string) => number | undefined, format: (value: number) => string,
): Kind<number> {
  const { min, max, expected, argument } = range
  const error = expected
  return {
    schema: z.preprocess(fromText(parse), schema.min(min, { error }).max(max, { error })),
    expected, argument, format,
  }
}

/** A whole number, both ends included. */
export function wholeNumber(min: number, max: number): Kind<number> {
  const expected = `a whole number from ${min} to ${max}`
  return numberKind(z.int({ error: expected }), { min, max, expected, argument: '<number>' },
    parseDecimal, String)
}

/** A decimal number, both ends included. */
export function decimal(min: number, max: number): Kind<number> {
  const expected = `a number from ${min} to ${max}`
  return numberKind(z.number({ error: expected }), { min, max, expected, argument: '<number>' },
    parseDecimal, String)
}

/** A size, kept in bytes. */
export function size(min: number, max: number): Kind<number> {
  const expected =
    `a size such as 512MiB, 2GiB or 65536, from ${formatBytes(min)} to ${formatBytes(max)}`
  const kind = numberKind(z.int({ error: expected }), { min, max, expected, argument: '<size>' },
    parseBytes, formatSize)
  const toFile = (bytes: number): unknown => {
    const text = formatSize(bytes)
    return text === String(bytes) ? bytes : text
  }
  return { ...kind, toFile }
}

/** A duration, kept in milliseconds; a bare number is refused, 0 excepted. */
export function duration(minMs: number, maxMs: number): Kind<number> {
  const expected = 'a duration such as 500ms, 30s, 5m (in lower case) or 1h30m, ' +
    `from ${formatDurationMs(minMs)} to ${formatDurationMs(maxMs)}`
  const kind = numberKind(z.int({ error: expected }),
    { min: minMs, max: maxMs, expected, argument: '<duration>' }, parseDurationMs, formatDurationMs)
  const textOrZero = (given: unknown): unknown =>
    typeof given === 'number' && given !== 0 ? undefined : given
  return { ...kind, schema: z.preprocess(textOrZero, kind.schema), toFile: formatDurationMs }
}

/** A duration whose YAML key ends in _ms, so that a bare number there is in milliseconds. */
export function milliseconds(min: number, max: number): Kind<number> {
  const expected = 'a duration such as 500ms, 30s (in lower case) or 1m30s, ' +
    `or in a file a number of milliseconds, from ${formatDurationMs(min)} to ` +
    formatDurationMs(max)
  return numberKind(z.int({ error: expected }), { min, max, expected, argument: '<duration>' },
    parseDurationMs, formatDurationMs)
}

/** On or off. With `bare`, the flag takes no value (`--touch`, `--no-touch`). */
export function toggle(bare: boolean): Kind<boolean> {
  const expected = 'on or off'
  return {
    schema: z.preprocess(fromText(parseSwitch), z.boolean({ error: expected })),
    expected, argument: bare ? '' : '<on|off>', format: (value) => (value ? 'on' : 'off'),
  }
}

/** One of a few words. */
export function choice<const T extends readonly [string, ...string[]]>(
  words: T, argument: string,
): Kind<T[number]> {
  const expected = `one of ${words.join(', ')}`
  return {
    schema: z.enum(words, { error: expected }) as unknown as z.ZodType<T[number]>,
    expected, argument, format: String,
  }
}

/** Non-empty text without blanks or control characters. */
export function word(expected: string, argument: string): Kind<string> {
  return {
    // oxlint-disable-next-line no-control-regex -- control characters are what is refused
    schema: z.string({ error: expected }).regex(/^[^\x00-\x20\x7f]{1,255}$/, { error: expected }),
    expected, argument, format: String,
  }
}

/** The path of a file; empty means none. */
export function path(expected: string): Kind<string> {
  return {
    schema: z.string({ error: expected }).max(4096, { error: expected }),
    expected, argument: '<file>', format: (value) => (value === '' ? 'none' : value),
    isPath: true,
  }
}

/** Whether a text is a URL, where a path or a URL may be. */
export const isUrl = (text: string): boolean => /^https?:\/\//i.test(text)

/** The path of a folder; never empty. */
export function folder(expected: string): Kind<string> {
  return {
    schema: z.string({ error: expected })
      .min(1, { error: expected }).max(4096, { error: expected }),
    expected, argument: '<folder>', format: String, isPath: true,
  }
}

const SERVERS_MAX = 3

/** Up to three addresses with or without a port. */
export const servers = (): Kind<readonly string[]> => listOf(
  'up to 3 addresses such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53, with commas', '<addresses>',
  SERVERS_MAX, isServer)

const HOST_NAMES_MAX = 64
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i

/** Host names without a port. */
export const hostNames = (): Kind<readonly string[]> => listOf(
  `up to ${HOST_NAMES_MAX} host names such as sluice.internal, with commas`, '<names>',
  HOST_NAMES_MAX, (text) => HOST_NAME.test(text))

/** Entries that `isEntry` accepts, separated by commas in a text; `none` for no entry. */
export function listOf(
  expected: string, argument: string, entriesMax: number, isEntry: (text: string) => boolean,
): Kind<readonly string[]> {
  const list = z.array(z.string({ error: expected }).refine(isEntry, { error: expected }),
    { error: expected }).max(entriesMax, { error: expected })
  const parse = (text: string): string[] =>
    text.trim() === '' || text === 'none' ? [] : text.split(',').map((each) => each.trim())
  return {
    schema: z.preprocess(fromText(parse), list), expected, argument,
    format: (value) => (value.length === 0 ? 'none' : value.join(',')),
  }
}

function isServer(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  if (match === null) return isIP(text) !== 0
  const port = Number(match[3])
  return port >= 1 && port <= 65_535 &&
    (match[1] === undefined ? isIP(match[2] as string) === 4 : isIP(match[1]) === 6)
}
