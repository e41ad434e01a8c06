// The exit codes of the process.

/** Success. */
export const EXIT_OK = 0
/** It failed while running. */
export const EXIT_FAILED = 1
/** Wrong usage or configuration. */
export const EXIT_USAGE = 2
