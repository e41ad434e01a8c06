// Thrown when the bench cannot do what it was asked for; the message is for its user.

/** Why a run of the bench ended early. */
export class BenchError extends Error {
  override name = 'BenchError'
}
