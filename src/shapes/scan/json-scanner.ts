// Finds the key and the body in a JSON request body without parsing it. What it finds is a guess
// about the JSON's structure, and only shapes.ts may rely on it: that checks the guess once for
// each shape against a real parse. A text that is unusual in any way (escapes in the key, \u in
// the body, a control character) is left to the parser.
//
// The work is done by WebAssembly (scan.wat), which looks at sixteen bytes at a time: a fifth of
// what the same took in JavaScript, four bytes at a time.

import type { JobHoles } from '../job-holes.ts'
import type { JobText } from './job-text.ts'

/** Where in JobText.found scan() leaves what it has found: places in the text, and more. */
const KEY_NAME = 0
const KEY_START = 1
const KEY_END = 2
const BODY_NAME = 3
const BODY_START = 4
const BODY_END = 5
/** Of the body as what it means. */
const BODY_BYTES = 6
/** Of what is around the two. */
const HASH = 7
/** Not 0: the body has bytes beyond ASCII. */
const BEYOND_ASCII = 8

const NOTHING_FOUND = 0
const BODY_FOUND = 2

/** Looks at one text after the other. */
export class JsonScanner {
  readonly #text: JobText
  readonly #seed: number
  /**
   * Where the names stood in the last text that was what it seemed; often they stand there again.
   * The body's is counted from the key's end; 0 for none.
   */
  #keyName = 0
  #bodyName = 0

  /** @param seed of the hash by which shapes are looked up: 32 random bits. */
  constructor(text: JobText, seed: number) {
    this.#text = text
    this.#seed = seed
  }

  /**
   * Fills `holes` with where the text's `idempotent_key` and `body` lie, the body unescaped, and a
   * hash of all the rest. False when this is no text that could be told apart by its rest alone.
   */
  scan(holes: JobHoles): boolean {
    const { body, bodyAt, found, functions, length } = this.#text
    const kind = functions.scan(length, this.#keyName, this.#bodyName, bodyAt, this.#seed)
    if (kind === NOTHING_FOUND) return false
    const keyStart = found[KEY_START] as number
    const keyEnd = found[KEY_END] as number
    holes.setKey(keyStart, keyStart, keyEnd, keyEnd)
    if (kind === BODY_FOUND) {
      holes.setBody(found[BODY_START] as number, found[BODY_END] as number)
      holes.setText(body, 0, found[BODY_BYTES] as number, found[BEYOND_ASCII] === 0)
    } else {
      holes.setNoBody()
    }
    holes.hash = found[HASH] as number
    return holes.setAround(length)
  }

  /** The text that was scanned last has been borne out: the next may well be like it. */
  expectTheSame(): void {
    const { found } = this.#text
    const bodyName = found[BODY_NAME] as number
    this.#keyName = found[KEY_NAME] as number
    this.#bodyName = bodyName < 0 ? 0 : bodyName - (found[KEY_END] as number)
  }
}
