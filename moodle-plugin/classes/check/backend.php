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

use cachestore_larder\configuration;
use cachestore_larder\report\figures;
use core\check\check;
use core\check\result;

/**
 * Whether the servers of the Larder instances answer this node, or what serves in their place.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class backend extends check {
    /**
     * Asks each server, each within its timeouts.
     *
     * @return result
     */
    public function get_result(): result {
        $unreachable = [];
        $refusing = [];
        $replaced = [];
        $details = '';
        foreach ($this->ask() as $name => $health) {
            if (empty($health['reachable'])) {
                $unreachable[] = s($name . (empty($health['reason']) ? '' : " ({$health['reason']})"));
            } else if (!empty($health['refusing'])) {
                $refusing[] = s($name . (empty($health['reason']) ? '' : " ({$health['reason']})"));
            } else if (($health['tier'] ?? '') === 'fallback') {
                $replaced[] = s($name);
            }
            $command = configuration::command(configuration::instances()[$name]['configuration']);
            $command = \html_writer::tag('code', s($command));
            $details .= \html_writer::tag('h4', s($name)) . $this->describe($health)
                . \html_writer::tag('p', get_string('checkbackend_command', 'cachestore_larder', $command));
        }
        if ($details === '') {
            return new result(result::NA, get_string('checkbackend_none', 'cachestore_larder'));
        }
        if ($unreachable) {
            return $this->trouble(result::ERROR, 'checkbackend_unreachable', $unreachable, $details);
        }
        if ($refusing) {
            return $this->trouble(result::ERROR, 'checkbackend_refusing', $refusing, $details);
        }
        if ($replaced) {
            return $this->trouble(result::WARNING, 'checkbackend_fallback', $replaced, $details);
        }
        $differing = $this->differing();
        if ($differing) {
            return $this->trouble(result::WARNING, 'checkbackend_differing', $differing, $details);
        }
        return new result(result::OK, get_string('checkbackend_ok', 'cachestore_larder'), $details);
    }

    /**
     * The health of each instance that can be used; the other check is about the rest.
     *
     * @return array[] By the instance's name.
     */
    protected function ask(): array {
        $healths = [];
        foreach (configuration::instances() as $name => $instance) {
            $store = new \cachestore_larder($name, $instance['configuration']);
            if ($store->is_ready()) {
                $healths[$name] = $store->diagnosis();
            }
        }
        return $healths;
    }

    /**
     * The nodes whose configuration is another than that of most, with the options that differ.
     *
     * @return string[] HTML.
     */
    protected function differing(): array {
        $differing = [];
        foreach (configuration::instances() as $name => $instance) {
            $figures = new figures((new \cachestore_larder($name, $instance['configuration']))->statistics(), 'hour');
            foreach ($figures->differences() as $node => $options) {
                $differing[] = s("{$node} ({$options})");
            }
        }
        return $differing;
    }

    /**
     * The result when something is wrong, with what to do.
     *
     * @param string $status One of result's.
     * @param string $string The string that says what is wrong; another one of its name with "_details" what to do.
     * @param string[] $names Names of the instances, as HTML.
     * @param string $details HTML.
     * @return result
     */
    private function trouble(string $status, string $string, array $names, string $details): result {
        return new result(
            $status,
            get_string($string, 'cachestore_larder', implode(', ', $names)),
            get_string("{$string}_details", 'cachestore_larder') . $details,
        );
    }

    /**
     * What the extension says about an instance, as a list: who serves it since when and what waits, then the facts.
     *
     * @param array $health
     * @return string HTML.
     */
    private function describe(array $health): string {
        $tier = get_string("checkbackend_tier_{$health['tier']}", 'cachestore_larder');
        if (!empty($health['since'])) {
            $tier .= ' ' . get_string('checkbackend_since', 'cachestore_larder', userdate((int)$health['since']));
        }
        $items = [get_string('checkbackend_tier', 'cachestore_larder') . ': ' . s($tier)];
        if (isset($health['waiting'])) {
            // The extension does not count further.
            $waiting = $health['waiting'] > 1000 ? '> 1000' : $health['waiting'];
            $items[] = get_string('checkbackend_waiting', 'cachestore_larder') . ': ' . s($waiting);
        }
        foreach (array_filter(array_intersect_key($health, ['reason' => 1, 'advice' => 1])) as $name => $text) {
            $items[] = "{$name}: " . s($text);
        }
        foreach ($health['facts'] ?? [] as $name => $fact) {
            $items[] = s("{$name}: {$fact}");
        }
        return \html_writer::alist($items);
    }
}
