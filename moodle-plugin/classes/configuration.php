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

namespace cachestore_larder;

/**
 * The configuration of an instance: as the form sends it, as Moodle keeps it, as the extension takes it.
 *
 * The extension names, checks and documents the settings. What stands here is what only Moodle knows: the site's
 * default namespace, the directories that Moodle deletes, and the rules of its form.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class configuration {
    /** @var string[] Settings that the form shows. The extension reads numbers, sizes and times from text. */
    public const TEXTS = [
        'server', 'username', 'password_file', 'ca_file', 'cert_file', 'key_file', 'tls_server_name', 'sentinel_username',
        'namespace', 'near_bytes', 'max_staleness', 'connect_timeout', 'read_timeout', 'lock_lease', 'lock_wait', 'compress_from',
        'fallback', 'node_tier',
    ];

    /** @var string[] What only a Redis server has: who we are there, and whom we trust. */
    public const OF_REDIS = [
        'username', 'password', 'password_file', 'ca_file', 'cert_file', 'key_file', 'tls_server_name', 'sentinel_username',
        'sentinel_password',
    ];

    /** @var string[] Those of them that can name a directory. */
    public const PLACES = ['server', 'fallback', 'node_tier'];

    /** @var string[] Settings that the form never shows: left empty, they stay as they were. */
    public const SECRETS = ['password', 'sentinel_password', 'seal_key', 'seal_key_previous'];

    /**
     * The configuration for the extension. Runs in every request, before the database is there.
     *
     * @param array $stored As kept by Moodle or written by hand for a forced configuration.
     * @return array
     * @throws \InvalidArgumentException For a directory that Moodle deletes.
     */
    public static function for_extension(#[\SensitiveParameter] array $stored): array {
        // Moodle's Redis store spells the setting "lockwait", and Moodle adds the others to any store's configuration.
        $config = $stored + ['lock_wait' => $stored['lockwait'] ?? null];
        unset($config['lockwait'], $config['lock'], $config['mappingsonly']);

        $config += ['code_epoch' => self::code_epoch()];
        $config = array_filter($config, fn($value) => $value !== null && $value !== '');
        $config += ['namespace' => self::default_namespace()];
        if ((defined('PHPUNIT_TEST') && PHPUNIT_TEST) || defined('BEHAT_SITE_RUNNING')) {
            // Tests purge everything. Whatever the configuration says, that must never be the real site's data.
            $config['namespace'] .= '_test_' . self::site_hash('dataroot', 'prefix');
        }
        foreach (self::PLACES as $name) {
            $directory = self::doomed_directory((string)($config[$name] ?? ''));
            if ($directory !== null) {
                throw new \InvalidArgumentException("{$name}: Moodle deletes the content of {$directory}");
            }
        }
        return $config;
    }

    /**
     * The configuration to keep for what was entered in the form.
     *
     * A save that changes where the entries are stamps a new generation, that is, an empty namespace: Moodle does not
     * purge what it may find when an instance returns to a server that it used before.
     *
     * @param \stdClass $data
     * @return array
     */
    public static function from_form(#[\SensitiveParameter] \stdClass $data): array {
        $old = self::instances()[$data->name]['configuration'] ?? [];
        $config = [];
        foreach (self::TEXTS as $name) {
            $config[$name] = trim($data->$name ?? '');
        }
        $config['server'] = server_url::join($data);
        foreach (self::SECRETS as $name) {
            $config[$name] = (string)($data->$name ?? '');
            if ($config[$name] === '' && empty($data->forgetsecrets)) {
                $config[$name] = $old[$name] ?? '';
            }
        }
        if (!server_url::has_sentinels($config['server'])) {
            // The form does not show them then.
            unset($config['sentinel_username'], $config['sentinel_password']);
        }
        $stays = isset($old['generation']) && self::location($old) === self::location($config);
        return array_filter($config, fn($value) => $value !== '') + ['generation' => $stays ? $old['generation'] : time()];
    }

    /**
     * Where the entries of a configuration are.
     *
     * @param array $config
     * @return string[]
     */
    private static function location(#[\SensitiveParameter] array $config): array {
        return [server_url::location($config['server'] ?? ''), $config['namespace'] ?? ''];
    }

    /**
     * The values that the form shows for a configuration: all but the secrets, and the server in its parts.
     *
     * @param array $stored
     * @return array
     */
    public static function for_form(#[\SensitiveParameter] array $stored): array {
        return server_url::split($stored['server'] ?? '') + array_diff_key($stored, array_flip([...self::SECRETS, 'server']));
    }

    /**
     * The instances of this plugin that are configured.
     *
     * @return array[] Moodle's description of each, by its name.
     */
    public static function instances(): array {
        $stores = \core_cache\config::instance()->get_all_stores();
        return array_filter($stores, fn($store) => $store['plugin'] === 'larder');
    }

    /**
     * A sync point for every Larder instance: later reads see all that was written before this call.
     */
    public static function sync_stores(): void {
        foreach (self::instances() as $instance) {
            try {
                \Larder\Store::open(self::for_extension($instance['configuration']))->sync();
            } catch (\Throwable $e) {
                // The store itself reports what is wrong with it.
                continue;
            }
        }
    }

    /**
     * The directory of Moodle's that a server's path lies in, if Moodle deletes what is there.
     *
     * Purging caches deletes cachedir and localcachedir beneath running processes, and cron tidies tempdir.
     *
     * @param string $url Value of one of the settings in PLACES.
     * @return string|null Null when the path is safe, or the URL names no directory.
     */
    public static function doomed_directory(string $url): ?string {
        global $CFG;
        if (!preg_match('~^(?:dir|local):([^?]*)~i', $url, $matches)) {
            return null;
        }
        $paths = [self::normalise($matches[1]), self::resolve($matches[1])];
        foreach (['cachedir', 'localcachedir', 'tempdir'] as $name) {
            if (empty($CFG->$name)) {
                continue;
            }
            foreach ([self::normalise($CFG->$name), self::resolve($CFG->$name)] as $directory) {
                foreach ($paths as $path) {
                    if (str_starts_with("{$path}/", "{$directory}/")) {
                        return $CFG->$name;
                    }
                }
            }
        }
        return null;
    }

    /**
     * A path without ".", ".." and repeated slashes. Does not look at the disk.
     *
     * @param string $path
     * @return string
     */
    private static function normalise(string $path): string {
        $parts = [];
        foreach (explode('/', str_replace('\\', '/', $path)) as $part) {
            if ($part === '..') {
                array_pop($parts);
            } else if ($part !== '' && $part !== '.') {
                $parts[] = $part;
            }
        }
        return '/' . implode('/', $parts);
    }

    /**
     * A path with the links in that part of it which exists followed.
     *
     * @param string $path
     * @return string
     */
    private static function resolve(string $path): string {
        $rest = '';
        $path = '/' . ltrim($path, '/');
        while (($real = realpath($path)) === false && $path !== '/') {
            $rest = '/' . basename($path) . $rest;
            $path = dirname($path);
        }
        return self::normalise($real . $rest);
    }

    /**
     * A name for the version of the code of this node: that of Moodle's core, and what a deployment that changes only
     * plugins sets as $CFG->larder_code_epoch. Empty where there is no version file, as in tests.
     *
     * @return string
     */
    private static function code_epoch(): string {
        global $CFG;
        $version = '';
        $file = ($CFG->dirroot ?? '') . '/version.php';
        if (is_file($file)) {
            include($file);
        }
        $own = (string)($CFG->larder_code_epoch ?? '');
        return $own === '' ? (string)$version : substr(hash('sha256', "{$version} {$own}"), 0, 16);
    }

    /**
     * The namespace of a site that sets none.
     *
     * @return string
     */
    public static function default_namespace(): string {
        return self::site_hash('dbhost', 'dbname', 'prefix');
    }

    /**
     * The command that looks at the entries of an instance; its secrets go by the environment.
     *
     * @param array $stored As kept by Moodle.
     * @return string
     */
    public static function command(#[\SensitiveParameter] array $stored): string {
        $config = self::for_extension($stored);
        // Credentials end at the last "@", as the extension reads them; the path of a socket may hold that, too.
        $server = preg_replace('~^(rediss?(?:-sentinel|-cluster)?://|redis\+unix://(?!/)).*@~s', '$1', $config['server'] ?? '');
        $words = ['larder', '--server', escapeshellarg($server), '--namespace', escapeshellarg($config['namespace'])];
        if (isset($config['generation'])) {
            array_push($words, '--option', escapeshellarg("generation={$config['generation']}"));
        }
        return implode(' ', [...$words, 'doctor']);
    }

    /**
     * A short name made from settings in config.php. A copy of the site on another database gets another one, although
     * it has the same site identifier and the same cache configuration.
     *
     * @param string ...$names Names of the settings.
     * @return string
     */
    private static function site_hash(string ...$names): string {
        global $CFG;
        return substr(hash('sha256', json_encode(array_map(fn($name) => (string)($CFG->$name ?? ''), $names))), 0, 16);
    }
}
