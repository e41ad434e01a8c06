// Teaches undici the names of the headers that Sluice adds to its requests.
// Thread: shard. Memory: undici's own table of names.
// Never: changes what is sent: a name that is not in the table goes out alike, a little later.
//
// For each header of each request undici looks its name up in a table of the registered ones, which
// are plain by definition. Any other name is lowered, looked up again, which makes V8 look for the
// fresh string among all names that it has ever seen, and checked by a regular expression. Eleven
// names a request made that an eighth of a shard's time. The table has no public way in, so it is
// reached for inside of the very version that package.json pins.

import { createRequire } from 'node:module'

/** Its table: names as they are written, and their lower case. */
interface Constants {
  readonly headerNameLowerCasedRecord: Record<string, string | undefined>
}

/** @param names tokens of RFC 9110 that undici has no use for itself. */
export function knowHeaders(names: readonly string[]): void {
  const load = createRequire(import.meta.url)
  const { headerNameLowerCasedRecord: known } =
    load('undici/lib/core/constants.js') as Constants
  for (const name of names) known[name] ??= name.toLowerCase()
}
