/** The plugins whose command lines we take. */
import type { Command } from '../command.js'
import { aws } from './aws.js'
import { okms } from './okms.js'
import type { Peer } from './peer.js'
import { peerCommand } from './peer_command.js'
import { vault } from './vault.js'

export const peers: readonly Peer[] = [aws, vault, okms]

export const peerCommands: readonly Command[] = peers.map(peerCommand)
