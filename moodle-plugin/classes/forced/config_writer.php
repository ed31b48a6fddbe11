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

namespace cachestore_larder\forced;

use core_cache\exception\cache_exception;

/**
 * Changes Moodle's cache configuration, but not what config.php says, none of which is kept in Moodle's file.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class config_writer extends \core_cache\config_writer {
    /** @var array What Moodle keeps. */
    private $kept = [];

    /**
     * Reads the configuration.
     *
     * @return array
     */
    protected function include_configuration() {
        $this->kept = parent::include_configuration();
        return configuration::merge($this->kept);
    }

    /**
     * The configuration to keep.
     *
     * @return array
     */
    protected function generate_configuration_array() {
        return configuration::without(parent::generate_configuration_array(), $this->kept);
    }

    /**
     * Changes a store.
     *
     * @param string $name
     * @param string $plugin
     * @param array $configuration
     * @return bool
     */
    public function edit_store_instance($name, $plugin, #[\SensitiveParameter] $configuration) {
        $this->refuse(isset(configuration::stores()[$name]));
        return parent::edit_store_instance($name, $plugin, $configuration);
    }

    /**
     * Deletes a store.
     *
     * @param string $name
     * @return bool
     */
    public function delete_store_instance($name) {
        $this->refuse(isset(configuration::stores()[$name]));
        return parent::delete_store_instance($name);
    }

    /**
     * Sets the stores that the modes use.
     *
     * @param array $modemappings
     * @return bool
     */
    public function set_mode_mappings(array $modemappings) {
        $this->refuse((bool)array_filter(array_keys($modemappings), configuration::maps(...)));
        return parent::set_mode_mappings($modemappings);
    }

    /**
     * Sets the stores that a definition uses.
     *
     * @param string $definition
     * @param array $mappings
     */
    public function set_definition_mappings($definition, $mappings) {
        $this->refuse(configuration::maps((int)($this->configdefinitions[$definition]['mode'] ?? 0)));
        parent::set_definition_mappings($definition, $mappings);
    }

    /**
     * Ends a change of what config.php says.
     *
     * @param bool $forced Whether it is one.
     */
    private function refuse(bool $forced): void {
        if ($forced) {
            throw new cache_exception('forced', 'cachestore_larder');
        }
    }
}
