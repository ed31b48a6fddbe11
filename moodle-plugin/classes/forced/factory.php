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

use core_cache\administration_helper;

/**
 * Moodle's cache factory with the stores and mappings of $CFG->larder:
 * $CFG->alternative_cache_factory_class = 'cachestore_larder\forced\factory'.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class factory extends \core_cache\factory {
    /**
     * Called by Moodle before its settings are loaded.
     */
    public function __construct() {
        parent::__construct();
        if (defined('CACHE_DISABLE_STORES') && CACHE_DISABLE_STORES !== false) {
            $this->set_state(self::STATE_STORES_DISABLED);
        }
    }

    /**
     * The configuration.
     *
     * @param bool $writer Whether it is to be changed.
     * @return \core_cache\config
     */
    public function create_config_instance($writer = false) {
        if (!config::config_file_exists()) {
            // This makes the file. What it returns knows nothing of config.php, and does where the file cannot be written.
            $created = parent::create_config_instance($writer);
            if (!config::config_file_exists()) {
                return $created;
            }
            $this->configs = [];
        }
        // Moodle takes what it finds under the names of its own classes.
        $name = $writer ? \core_cache\config_writer::class : \core_cache\config::class;
        if (!isset($this->configs[$name])) {
            $this->configs[$name] = $writer ? new config_writer() : new config();
            $this->configs[$name]->load();
        }
        return parent::create_config_instance($writer);
    }

    /**
     * The configuration to change while caches are disabled, as in an upgrade, whose last step purges all stores.
     *
     * @return \core_cache\config_writer
     */
    public static function get_disabled_writer(): \core_cache\config_writer {
        return (new self())->create_config_instance(true);
    }

    /**
     * What Moodle's page shows.
     *
     * @return administration_helper
     */
    public static function get_administration_display_helper(): administration_helper {
        self::$displayhelper ??= new display_helper();
        return self::$displayhelper;
    }
}
