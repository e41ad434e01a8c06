// The kinds of values of the settings for JSON Web Tokens.

import { z } from 'zod'
import { JWT_TENANTS_MAX } from '../base/limits.ts'
import { type Kind, isUrl, path, word } from './kinds.ts'

const TENANT_MAX = 65_535
const JWKS_EXPECTED = 'the path of a file, or an http or https URL without user and password'

/** A file with a key set, or the URL of one; empty for none. */
export const jwksKind: Kind<string> = {
  ...path(JWKS_EXPECTED),
  schema: path(JWKS_EXPECTED).schema.refine((text) => !isUrl(text) || isPlainUrl(text),
    { error: JWKS_EXPECTED }),
  argument: '<file|url>',
}

function isPlainUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && url.username === '' && url.password === ''
}

/** A word; empty for none, which is typed as `none`. */
export function optionalWord(expected: string, argument: string): Kind<string> {
  const kind = word(expected, argument)
  return {
    ...kind,
    schema: z.preprocess((given) => given === 'none' ? '' : given,
      z.union([z.literal(''), kind.schema], { error: expected })),
    format: (value) => (value === '' ? 'none' : value),
    toFile: (value) => (value === '' ? 'none' : value),
  }
}

const TENANTS_EXPECTED = `a map of at most ${JWT_TENANTS_MAX} names to numbers from 0 to ` +
  `${TENANT_MAX}, such as {acme: 1}`

/** Numbers of tenants by the names that tokens have for them. */
export const tenantsKind: Kind<Readonly<Record<string, number>>> = {
  schema: z.preprocess((given) => given ?? {},
    z.record(z.string().min(1).max(255),
      z.int({ error: TENANTS_EXPECTED }).min(0, { error: TENANTS_EXPECTED })
        .max(TENANT_MAX, { error: TENANTS_EXPECTED }), { error: TENANTS_EXPECTED })
      .refine((map) => Object.keys(map).length <= JWT_TENANTS_MAX, { error: TENANTS_EXPECTED })),
  expected: TENANTS_EXPECTED, argument: '<map>', format: (map) => JSON.stringify(map),
}
