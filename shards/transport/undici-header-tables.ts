// Adds the names of the headers that Sluice sends and reads to undici's tables of known names.
// Thread: shard. Memory: undici's own tables of names.
// Never: changes what is sent or received: names that are not in the tables only take longer.
//
// For each header of a request undici looks up its name in a table of registered ones, which need
// no check. Any other name is lower-cased, looked up again, for which V8 must internalize the new
// string, and checked by a regular expression. A name in a response is looked up in a tree of the
// same names; any other one allocates a new string. Neither table is public, so they are accessed
// inside of the exact version that package.json pins. Measured: 4 to 6 us less per request with
// load headers, 5 to 7 % of a polled job's CPU time.

import { createRequire } from 'node:module'

/** Names in their original case, and in lower case. */
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

/** Loads undici's own files. */
export type LoadModule = (path: string) => unknown

const loadModule: LoadModule = createRequire(import.meta.url)

/**
 * @param sent names of requests: RFC 9110 tokens that undici does not handle itself.
 * @param received names of responses, in lower case.
 * @returns what differs from the expected undici, so that some names still take longer; undefined
 *   if all names were added.
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
