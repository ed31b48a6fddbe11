<?php
// This file is part of Moodle - http://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <http://www.gnu.org/licenses/>.

/**
 * Moves the site's caches to Larder, and back.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use cachestore_larder\configuration;
use cachestore_larder\migration;
use cachestore_larder\shadow;

define('CLI_SCRIPT', true);

require(__DIR__ . '/../../../../config.php');
require_once($CFG->libdir . '/clilib.php');

[$options, $unrecognised] = cli_get_params([
    'help' => false,
    'apply' => false,
    'rollback' => false,
    'shadow' => false,
    'instance' => 'larder',
    'server' => '',
    'fallback' => '',
], ['h' => 'help']);
if ($unrecognised) {
    cli_error(get_string('cliunknowoption', 'admin', implode("\n  ", $unrecognised)), 2);
}
if ($options['help']) {
    cli_writeln("Says for each cache of this site where it is now, and whether and why it should be in Larder.

Without options nothing is changed.

    --server=URL      The Larder server: redis://10.0.0.5:6379, dir:/mnt/shared/larder, local:/var/lib/larder; not
                      needed when there is an instance already. Its password is read from the environment,
                      LARDER_PASSWORD.
    --fallback=URL    What takes over while a Redis server is away.
    --instance=NAME   Name of the instance (default: larder).
    --apply           Makes the instance, if there is none of that name, and maps the caches as proposed.
    --rollback        Maps the caches as they were before the first --apply, and empties them.
    --shadow          What was counted since \$CFG->cachestore_larder_shadow names the store that was used before: values
                      that differ, and times.
    -h, --help        This text.

    sudo -u www-data php cache/stores/larder/cli/migrate.php --server=redis://10.0.0.5:6379
");
    exit(0);
}

\core\session\manager::set_user(get_admin());
if ($options['rollback']) {
    if (!migration::rollback()) {
        cli_error('There is nothing to go back to: --apply was not run, or was rolled back.');
    }
    cli_writeln('The caches are mapped as they were before, and empty.');
    exit(0);
}

$site = migration::of_site($options['instance']);
$width = 0;
$proposal = $site->proposal();
foreach ($proposal as $id => $row) {
    $width = max($width, strlen($id));
}
$moving = 0;
foreach ($proposal as $id => $row) {
    $moves = $row['now'] !== $row['then'];
    $moving += $moves ? 1 : 0;
    $where = implode(' + ', $row['now']) . ($moves ? ' -> ' . implode(' + ', $row['then']) : ' stays');
    cli_writeln(str_pad($id, $width + 2) . "{$where}: {$row['reason']}");
}
cli_writeln('');
cli_writeln($moving . ' of ' . count($proposal) . ' definitions should move.');
foreach ($site->warnings() as $warning) {
    cli_writeln("Warning: {$warning}");
}

$stored = configuration::instances()[$options['instance']]['configuration'] ?? null;
if ($stored === null && array_key_exists($options['instance'], \core_cache\config::instance()->get_all_stores())) {
    cli_error("The store \"{$options['instance']}\" is no Larder instance: choose another name with --instance.");
}
$given = array_filter(['server' => $options['server'], 'fallback' => $options['fallback']], fn($url) => $url !== '');
if ($options['shadow']) {
    if ($stored === null) {
        cli_error('There is no Larder instance of that name.');
    }
    cli_writeln('');
    $row = '%-45s %9s %9s %9s %9s %9s';
    cli_writeln(sprintf($row, 'definition', 'reads', 'other', 'missing', 'only', 'time'));
    foreach (shadow::report(\Larder\Store::open(configuration::for_extension($stored))) as $id => $count) {
        $ratio = $count['old'] > 0 ? sprintf('%.2f', $count['larder'] / $count['old']) : '-';
        cli_writeln(sprintf($row, $id, $count['reads'], $count['other'], $count['missing'], $count['only'], $ratio));
    }
    cli_writeln('');
    cli_writeln('other: the old store had another value; missing: only it had one; only: Larder alone had one; '
        . 'time: of Larder, by that of the old store.');
    exit(0);
}
if ($stored === null && !$given) {
    cli_writeln('Name the server with --server to go on.');
    exit(0);
}
$configuration = $stored ?? $given + array_filter(['password' => (string)getenv('LARDER_PASSWORD')]);
try {
    $trouble = \Larder\Store::open(configuration::for_extension($configuration))->reach();
} catch (\Throwable $e) {
    cli_error('The instance cannot be used: ' . $e->getMessage());
}
if ($trouble !== null) {
    cli_error("The server does not answer: {$trouble['error']}. {$trouble['advice']}");
}
cli_writeln('The server answers.');

if ($site->is_forced()) {
    cli_writeln('The cache configuration is forced, so it cannot be changed from here. In config.php:');
    cli_writeln('');
    cli_write($site->forced_code($given));
    exit(0);
}
if (!$options['apply']) {
    cli_writeln('Nothing was changed; --apply does it, --rollback undoes that.');
    exit(0);
}
$site->apply($configuration);
cli_writeln('Done. --rollback goes back.');
