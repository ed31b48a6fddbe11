<?php
/**
 * The part of Moodle's cache configuration that stands in config.php.
 *
 * @license MIT OR Apache-2.0
 */

use cachestore_larder\forced\configuration;
use core\check\result;
use core_cache\store;

final class forced_test extends plugin_testcase {
    protected function setUp(): void {
        global $CFG;
        parent::setUp();
        $CFG->dirroot = $this->directory;
        mkdir("{$this->directory}/cache/stores", 0777, true);
        symlink(STANDIN_PLUGIN, "{$this->directory}/cache/stores/larder");
        $CFG->alternative_cache_factory_class = 'cachestore_larder\forced\factory';
    }

    protected function tearDown(): void {
        global $CFG;
        $CFG->dirroot = '/no/moodle';
        unset($CFG->larder, $CFG->alternative_cache_factory_class);
        parent::tearDown();
    }

    /** What Moodle keeps: its own stores, and an instance that an administrator mapped. */
    private function kept(): array {
        return [
            'stores' => ['default_application' => ['name' => 'default_application'], 'old' => ['name' => 'old']],
            'modemappings' => [
                ['mode' => store::MODE_APPLICATION, 'store' => 'old', 'sort' => 0],
                ['mode' => store::MODE_REQUEST, 'store' => 'default_request', 'sort' => -1],
            ],
            'definitions' => [
                'core/string' => ['mode' => store::MODE_APPLICATION, 'canuselocalstore' => true],
                'core/config' => ['mode' => store::MODE_APPLICATION, 'ttl' => 0],
                'core/calls' => ['mode' => store::MODE_REQUEST],
            ],
            'definitionmappings' => [
                ['definition' => 'core/config', 'store' => 'old', 'sort' => 1],
                ['definition' => 'core/calls', 'store' => 'old', 'sort' => 1],
            ],
        ];
    }

    /** The store of each definition, the first first, as Moodle's configuration finds them. */
    private function stores_of(array $configuration): array {
        $found = [];
        foreach ($configuration['definitions'] as $id => $definition) {
            $own = array_filter($configuration['definitionmappings'], fn($row) => $row['definition'] === $id);
            $rows = $own ?: array_filter($configuration['modemappings'], fn($row) => $row['mode'] === $definition['mode']);
            usort($rows, fn($one, $other) => $other['sort'] <=> $one['sort']);
            $found[$id] = array_column($rows, 'store');
        }
        return $found;
    }

    private function forced(array $more = []): array {
        return $more + ['stores' => ['mine' => ['type' => 'larder', 'config' => ['server' => 'redis://h']]]];
    }

    public function test_without_it_nothing_changes(): void {
        $this->assertSame('', configuration::problem());
        $this->assertSame($this->kept(), configuration::merge($this->kept()));
        $this->assertFalse(configuration::maps(store::MODE_APPLICATION));
    }

    public function test_stores_and_rules_take_the_place_of_what_moodle_keeps(): void {
        global $CFG;
        $CFG->larder = $this->forced(['rules' => [
            'application' => [
                ['conditions' => ['canuselocalstore' => true], 'stores' => ['default_application', 'mine']],
                ['stores' => ['mine']],
            ],
            'session' => [['stores' => ['mine']]],
            'request' => [],
        ], 'definitionoverrides' => ['core/config' => ['ttl' => 60], 'core/gone' => ['ttl' => 1]]]);
        $this->assertSame('', configuration::problem());
        $merged = configuration::merge($this->kept());
        $this->assertSame(['mine', 'default_application', 'old'], array_keys($merged['stores']));
        $this->assertSame('larder', $merged['stores']['mine']['plugin']);
        $this->assertSame(['server' => 'redis://h'], $merged['stores']['mine']['configuration']);
        $this->assertSame(cachestore_larder::get_supported_features(), $merged['stores']['mine']['features']);
        $this->assertSame([
            'core/string' => ['default_application', 'mine'],
            'core/config' => ['mine'],
            'core/calls' => ['old'],
        ], $this->stores_of($merged));
        $this->assertContains(['mode' => store::MODE_SESSION, 'store' => 'mine', 'sort' => 1], $merged['modemappings']);
        $definitions = configuration::override($merged['definitions']);
        $this->assertSame(60, $definitions['core/config']['ttl']);
        $this->assertSame(array_keys($this->kept()['definitions']), array_keys($definitions));
        $this->assertTrue(configuration::maps(store::MODE_APPLICATION));
        $this->assertFalse(configuration::maps(store::MODE_REQUEST));
    }

    public function test_moodle_keeps_its_own_part_and_the_changes_to_it(): void {
        global $CFG;
        $CFG->larder = $this->forced(['rules' => ['application' => [['stores' => ['mine']]]]]);
        $merged = configuration::merge($this->kept());
        foreach (configuration::without($merged, $this->kept()) as $part => $rows) {
            $this->assertEqualsCanonicalizing($this->kept()[$part], $rows, $part);
        }
        $merged['stores']['another'] = ['name' => 'another'];
        $merged['modemappings'][] = ['mode' => store::MODE_SESSION, 'store' => 'another', 'sort' => 0];
        $kept = configuration::without($merged, $this->kept());
        $this->assertSame(['default_application', 'old', 'another'], array_keys($kept['stores']));
        $this->assertContains(['mode' => store::MODE_SESSION, 'store' => 'another', 'sort' => 0], $kept['modemappings']);
        $this->assertStringNotContainsString('mine', json_encode($kept));
    }

    public function test_a_rule_names_a_definition(): void {
        global $CFG;
        $CFG->larder = $this->forced(['rules' => [
            'application' => [['conditions' => ['name' => 'core/string'], 'stores' => ['mine']]],
        ]]);
        $merged = configuration::merge($this->kept());
        $this->assertSame(['mine'], $this->stores_of($merged)['core/string']);
        $this->assertSame(['old'], $this->stores_of($merged)['core/config'], 'what no rule is about is as the mode has it');
    }

    /** @return array[] */
    public static function wrong(): array {
        $store = ['type' => 'larder', 'config' => []];
        return [
            'no array' => ['redis://h', 'must be an array'],
            'an unknown part' => [['store' => []], 'must be an array of stores, rules'],
            'a part that is no array' => [['stores' => 'mine'], 'stores is no array'],
            'a store without a type' => [['stores' => ['mine' => ['config' => []]]], 'store "mine" needs a type'],
            'a store that is no array' => [['stores' => ['mine' => 'larder']], 'store "mine" needs a type'],
            'an unknown type' => [['stores' => ['mine' => ['type' => 'ladder'] + $store]], 'no cache store plugin "ladder"'],
            'an unknown mode' => [['rules' => ['applications' => []]], 'not for "applications"'],
            'an unknown store' => [['stores' => ['mine' => $store], 'rules' => ['session' => [['stores' => ['yours']]]]], 'of mine, default_'],
            'a rule without stores' => [['rules' => ['session' => [['stores' => []]]]], 'each rule for session needs stores'],
            'a rule that is no array' => [['rules' => ['session' => ['stores' => ['mine']]]], 'each rule for session needs stores'],
        ];
    }

    /** @dataProvider wrong */
    public function test_what_is_wrong_is_told_and_not_used($forced, string $message): void {
        global $CFG;
        $CFG->larder = $forced;
        $this->assertStringContainsString($message, configuration::problem());
        $log = $this->error_log_of(fn() => $this->assertSame($this->kept(), configuration::merge($this->kept())));
        $this->assertStringContainsString($message, $log);
        $this->assertSame([], configuration::stores());
        $check = cachestore_larder_status_checks()[0]->get_result();
        $this->assertSame(result::CRITICAL, $check->status);
        $this->assertStringContainsString(s($message), $check->details);
    }

    public function test_without_the_factory_it_would_be_ignored(): void {
        global $CFG;
        $CFG->larder = $this->forced();
        $CFG->alternative_cache_factory_class = '\cachestore_larder\forced\factory';
        $this->assertSame('', configuration::problem());
        unset($CFG->alternative_cache_factory_class);
        $this->assertStringContainsString('alternative_cache_factory_class', configuration::problem());
    }
}
