import { Command } from 'commander';
import { backupCommand } from './backup.ts';
import { credentialCommand } from './credential.ts';
import { deviceCommand } from './device.ts';
import { doctorCommand } from './doctor.ts';
import { eventsCommand } from './events.ts';
import { handshakesCommand } from './handshakes.ts';
import { keyCommand } from './key.ts';
import { objectCommand } from './object.ts';
import { profileCommand } from './profile.ts';
import { restoreCommand } from './restore.ts';
import { serveCommand } from './serve.ts';

/** `rollcall` with all its commands, in the order in which `--help` shows them. Wrong usage throws a `CommanderError`. */
export function rollcallProgram(): Command {
  const program = new Command('rollcall')
    .description('A self-registration server for constrained devices')
    .addCommand(serveCommand())
    .addCommand(credentialCommand())
    .addCommand(deviceCommand())
    .addCommand(profileCommand())
    .addCommand(objectCommand())
    .addCommand(eventsCommand())
    .addCommand(handshakesCommand())
    .addCommand(keyCommand())
    .addCommand(backupCommand())
    .addCommand(restoreCommand())
    .addCommand(doctorCommand());
  // Long names of options leave few columns to what they do: it is wrapped in them all the same.
  for (const command of commandsOf(program)) command.exitOverride().configureHelp({ minWidthToWrap: 24 });
  return program;
}

/** A command and all under it, each before its own. */
export function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}
