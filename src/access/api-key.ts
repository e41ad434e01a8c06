// API keys as text: `slk_<id>_<secret>`. The id is public and finds the key; of the secret, only
// the SHA-256 of the whole text is kept. A fast hash is enough: the secret has 256 bits, so there
// is nothing to guess that a slow hash would protect.

import { hash, timingSafeEqual } from 'node:crypto'

/** Gives so many random bytes. */
export type RandomSource = (bytes: number) => Uint8Array

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const PREFIX = 'slk_'
const ID_CHARS = 12
/** 43 digits of base 62 hold 256 bits. */
const SECRET_CHARS = 43
const SECRET_BYTES = 32
/** More than the 72 bits of an id, so that each of its digits is as likely as any other. */
const ID_BYTES = 16
const ID_START = PREFIX.length
const ID_END = ID_START + ID_CHARS
const KEY_CHARS = ID_END + 1 + SECRET_CHARS

const ID = new RegExp(`^[0-9A-Za-z]{${ID_CHARS}}$`)
/** What any text with a key in it contains. */
const KEY_WITHIN = new RegExp(`${PREFIX}[0-9A-Za-z]{${ID_CHARS}}`)
const WHOLE_KEY = new RegExp(`(${PREFIX}[0-9A-Za-z]{${ID_CHARS}})_[0-9A-Za-z]*`, 'g')

/** A new key: only its hash is kept, the text goes to whoever asked for it. */
export interface NewKey {
  readonly id: string
  readonly text: string
}

/** @param random node's randomBytes(), outside of tests. */
export function makeKey(random: RandomSource): NewKey {
  const id = digits(random(ID_BYTES), ID_CHARS)
  return { id, text: `${PREFIX}${id}_${digits(random(SECRET_BYTES), SECRET_CHARS)}` }
}

/** The lowest digits of the number that the bytes are. */
function digits(bytes: Uint8Array, count: number): string {
  let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  let text = ''
  for (let at = 0; at < count; at++) {
    text = (DIGITS[Number(rest % 62n)] as string) + text
    rest /= 62n
  }
  return text
}

/** The id in a presented key; undefined for a text that cannot be a key. */
export function keyIdOf(text: string): string | undefined {
  const isKey = text.length === KEY_CHARS && text.startsWith(PREFIX) && text[ID_END] === '_'
  return isKey ? text.slice(ID_START, ID_END) : undefined
}

export const isKeyId = (text: string): boolean => ID.test(text)

/** Whether the text begins as a key does. */
export const looksLikeKey = (text: string): boolean => text.startsWith(PREFIX)

/** The text with nothing of a key in it but its public part. */
export const hideKeys = (text: string): string => text.replaceAll(WHOLE_KEY, '$1')

/** Whether there is a key anywhere in the text, whole or cut off after its id. */
export const containsKey = (text: string): boolean => KEY_WITHIN.test(text)

/** The only form in which a key is kept. */
export const hashKey = (text: string): Buffer => hash('sha256', text, 'buffer')

/** What a key with an unknown id is compared with; nothing is known that has this hash. */
const NO_HASH = Buffer.alloc(32)

/** The hash of the presented text; one buffer, since every request needs it. */
const presented = Buffer.alloc(32)

/**
 * Whether the text has this hash. Takes equally long for an unknown id, for which the hash is left
 * out: the time does not tell which ids exist.
 */
export function isKeyOf(text: string, known: Buffer | undefined): boolean {
  presented.write(hash('sha256', text, 'binary'), 'binary')
  return timingSafeEqual(presented, known ?? NO_HASH) && known !== undefined
}
