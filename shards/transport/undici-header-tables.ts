// Teaches undici the names of the headers that Sluice adds to requests and looks for in responses.
// Thread: shard. Memory: undici's own tables of names.
// Never: changes what is sent or heard: names that are not in the tables only take longer.
//
// For each header of each request undici looks its name up in a table of the registered ones, which
// are plain by definition. Any other name is lowered, looked up again, which makes V8 look for the
// fresh string among all names that it has ever seen, and checked by a regular expression. Eleven
// names a request made that an eighth of a shard's time. A name in a response is looked for in a
// tree of the same names; any other becomes a fresh string. Neither table has a public way in, so
// they are reached for inside of the very version that package.json pins.

import { createRequire } from 'node:module'

/** Names as they are written, and their lower case. */
interface Constants {
  readonly headerNameLowerCasedRecord: Record<string, string | undefined>
}

/** Names in lower case, found by bytes in any case. */
interface Tree {
  readonly tree: {
    insert(key: string, value: string): void
    lookup(key: Uint8Array): unknown
  }
}

/** Where undici's own files come from. */
export type LoadModule = (path: string) => unknown

const loadModule: LoadModule = createRequire(import.meta.url)

/**
 * @param sent names of requests: tokens of RFC 9110 that undici has no use for itself.
 * @param received names of responses, in lower case.
 * @returns what of undici is not as expected, so that some names still take longer; undefined when
 *   it knows all of them.
 */
export function addHeaderNames(
  sent: readonly string[], received: readonly string[], load: LoadModule = loadModule,
): string | undefined {
  try {
    const { headerNameLowerCasedRecord: known } =
      load('undici/lib/core/constants.js') as Constants
    const { tree } = load('undici/lib/core/tree.js') as Tree
    const isExpected = known['Content-Type'] === 'content-type' &&
      tree.lookup(Buffer.from('Content-Type')) === 'content-type'
    if (!isExpected) return 'its tables of header names do not have Content-Type'
    for (const name of sent) known[name] ??= name.toLowerCase()
    for (const name of received) tree.insert(name, name)
    const isMissing = received.find((name) => tree.lookup(Buffer.from(name)) !== name)
    return isMissing === undefined ? undefined
      : `its tree of header names does not take ${isMissing}`
  } catch (error) {
    return (error as Error).message
  }
}
