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

namespace cachestore_larder\check;

use core\check\check;
use core\check\result;
use core\lock\lock_config;

/**
 * What is written below $CFG->cachedir and $CFG->localcachedir although the site's caches are in Larder.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class directories extends check {
    /** @var string What the names of network filesystems look like in the list of mounts. */
    private const NETWORK = '~^(nfs|cifs|smb|ceph|fuse\.(?!overlay)|gluster|lustre|beegfs|ocfs2|gfs2|9p|afs)~';

    /**
     * Looks at the directories and at the list of mounts of this node.
     *
     * @return result
     */
    public function get_result(): result {
        global $CFG;
        $details = $this->content('cachedir') . $this->content('localcachedir');
        $files = $this->definitions_in_files();
        if ($files) {
            return $this->warning('files', count($files), \html_writer::alist(array_map('s', $files)) . $details);
        }
        if ($type = $this->network($CFG->localcachedir)) {
            return $this->warning('local', $type, $details);
        }
        $locks = ltrim(lock_config::get_lock_factory_class(), '\\');
        $type = $this->network($CFG->file_lock_root ?? "{$CFG->dataroot}/lock");
        if ($locks === \core\lock\file_lock_factory::class && $type) {
            return $this->warning('locks', $type, $details);
        }
        return new result(result::OK, get_string('checkdirectories_ok', 'cachestore_larder'), $details);
    }

    /**
     * The type of the filesystem that a directory is on, if that is on the network.
     *
     * @param string $directory
     * @return string Empty if not, or if the node does not tell.
     */
    protected function network(string $directory): string {
        $best = $type = '';
        foreach ($this->mounts() as $line) {
            [, $mount, $is] = explode(' ', $line) + ['', '', ''];
            $mount = rtrim(stripcslashes($mount), '/');
            $directory = realpath($directory) ?: $directory;
            if (str_starts_with("{$directory}/", "{$mount}/") && strlen($mount) >= strlen($best)) {
                [$best, $type] = [$mount, $is];
            }
        }
        return preg_match(self::NETWORK, $type) ? $type : '';
    }

    /**
     * The node's list of mounts.
     *
     * @return string[]
     */
    protected function mounts(): array {
        return @file('/proc/mounts', FILE_IGNORE_NEW_LINES) ?: [];
    }

    /**
     * The definitions of application caches that Moodle's file store keeps.
     *
     * @return string[] Their ids.
     */
    private function definitions_in_files(): array {
        $config = \core_cache\config::instance();
        $found = [];
        foreach ($config->get_definitions() as $id => $details) {
            if ((int)$details['mode'] !== \core_cache\store::MODE_APPLICATION) {
                continue;
            }
            $stores = $config->get_stores_for_definition(\core_cache\definition::load($id, $details));
            if (in_array('file', array_column($stores, 'plugin'))) {
                $found[] = $id;
            }
        }
        return $found;
    }

    /**
     * What is in one of Moodle's directories, as a list.
     *
     * @param string $name That of the setting.
     * @return string HTML.
     */
    private function content(string $name): string {
        global $CFG;
        $found = array_diff(@scandir($CFG->$name) ?: [], ['.', '..', '.htaccess', '.lastpurged']);
        $title = get_string("checkdirectories_{$name}", 'cachestore_larder', s($CFG->$name));
        $text = $found ? implode(', ', array_map('s', $found)) : get_string('checkdirectories_nothing', 'cachestore_larder');
        return \html_writer::tag('p', "{$title}: {$text}.");
    }

    /**
     * The result when something should be elsewhere.
     *
     * @param string $what Part of the names of the strings.
     * @param string|int $detail
     * @param string $details HTML.
     * @return result
     */
    private function warning(string $what, $detail, string $details): result {
        return new result(
            result::WARNING,
            get_string("checkdirectories_{$what}", 'cachestore_larder', s($detail)),
            get_string("checkdirectories_{$what}_details", 'cachestore_larder') . $details,
        );
    }
}
