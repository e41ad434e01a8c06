// The name of the WebSocket protocol, used by server and client.

/** The subprotocol; incompatible changes get a new name. */
export const PROTOCOL = 'sluice.v1'
