// The kind of value of `host`: a name or an address; common mistakes get a message of their own.

import { isIP } from 'node:net'
import { type Kind, word } from './kinds.ts'

const NAME = word('a host name or an IP address', '<address>')

/** A host alone: no brackets, no port. */
export const hostKind: Kind<string> = {
  ...NAME,
  schema: NAME.schema
    .refine((host) => !host.startsWith('['),
      { error: 'an IPv6 address without brackets, such as ::1' })
    .refine((host) => isIP(host) !== 0 || !host.includes(':') || host.startsWith('['),
      { error: 'a host without a port, which is --port\'s' }),
}
