// Why a host name brought no address, as a socket takes it from whoever looks it up.
// Thread: shard. Memory: none.
// Never: thrown; it is handed to a callback.

/** The codes are those of the system's own look-up. */
export class NameError extends Error {
  override name = 'NameError'
  /** ENOTFOUND: the name servers say that there is none. EAI_AGAIN: they do not say. */
  readonly code: 'ENOTFOUND' | 'EAI_AGAIN'

  constructor(code: 'ENOTFOUND' | 'EAI_AGAIN', message: string) {
    super(message)
    this.code = code
  }
}

/** The name servers say that the name has no address. */
export const noAddress = (message: string): NameError => new NameError('ENOTFOUND', message)

/** Nobody could say. */
export const noAnswer = (message: string): NameError => new NameError('EAI_AGAIN', message)
