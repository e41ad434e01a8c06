// The name of what is spoken over sockets, known to both ends.

/** The subprotocol; a change that old clients would not understand gets another. */
export const PROTOCOL = 'sluice.v1'
