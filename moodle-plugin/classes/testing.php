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

use core_cache\definition;

/**
 * Instances of the store for Moodle's tests.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
trait testing {
    /**
     * An instance for Moodle's performance test, with a namespace of its own.
     *
     * It uses the server of the first Larder instance that is configured, because that is the one to know about.
     *
     * @param definition $definition
     * @return self|false False when there is nothing to test.
     */
    public static function initialise_test_instance(definition $definition) {
        $instances = configuration::instances();
        if ($instances) {
            $configuration = reset($instances)['configuration'];
        } else if (self::ready_to_be_used_for_testing()) {
            $configuration = self::unit_test_configuration();
        } else {
            return false;
        }
        $configuration['namespace'] = 'test_' . bin2hex(random_bytes(8));
        $instance = new self('Larder test', $configuration);
        if (!$instance->is_ready()) {
            return false;
        }
        $instance->initialise($definition);
        return $instance;
    }

    /**
     * The configuration for unit tests.
     *
     * @return array
     */
    public static function unit_test_configuration() {
        return ['server' => TEST_CACHESTORE_LARDER_TESTSERVERS];
    }

    /**
     * Whether unit tests can use this store.
     *
     * @return bool
     */
    public static function ready_to_be_used_for_testing() {
        return self::are_requirements_met() && defined('TEST_CACHESTORE_LARDER_TESTSERVERS');
    }
}
