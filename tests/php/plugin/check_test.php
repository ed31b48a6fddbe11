<?php
/**
 * The checks in Moodle's status report.
 *
 * @license MIT OR Apache-2.0
 */

use core\check\result;
use core_cache\config;

final class check_test extends plugin_testcase {
    public function test_nothing_configured(): void {
        $this->assertSame([result::OK, result::NA], $this->statuses());
    }

    public function test_all_is_well(): void {
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $this->configuration()]];
        $this->assertSame([result::OK, result::OK], $this->statuses());
    }

    public function test_a_bad_configuration_is_critical(): void {
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => ['server' => 'gopher://h']]];
        $this->error_log_of(function () {
            $this->assertSame([result::CRITICAL, result::NA], $this->statuses());
            $this->assertStringContainsString('server', cachestore_larder_status_checks()[0]->get_result()->details);
        });
    }

    public function test_a_server_that_does_not_answer_is_an_error(): void {
        $configuration = ['server' => 'redis://127.0.0.1:1', 'password' => 'hidden-secret', 'seal_key' => 'hidden-seal-of-16-bytes'];
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $this->configuration($configuration)]];
        $this->assertSame([result::OK, result::ERROR], $this->statuses());
        $details = cachestore_larder_status_checks()[1]->get_result()->details;
        $this->assertStringNotContainsString('hidden', $details);
        $this->assertStringContainsString('advice: check that the server runs and listens at this address', $details);
    }

    public function test_a_server_that_does_not_answer_is_waited_for_once(): void {
        // The system takes connections in, and nobody answers.
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $server = 'redis://' . stream_socket_get_name($listener, false);
        $configuration = $this->configuration(['server' => $server, 'read_timeout' => '0.05', 'connect_timeout' => '0.05']);
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $configuration]];
        $this->assertSame(result::ERROR, cachestore_larder_status_checks()[1]->get_result()->status);
        $this->assertNotFalse(stream_socket_accept($listener, 0));
        $this->assertFalse(@stream_socket_accept($listener, 0), 'it was asked again');
        $store = new cachestore_larder('mine', ['fallback' => "local:{$this->directory}/fallback"] + $configuration);
        $this->assertStringContainsString('not overloaded or stopped', $store->diagnosis()['advice']);
        $this->assertArrayHasKey('waiting', $store->diagnosis(), 'a fallback says more');
    }

    public function test_what_serves_is_told(): void {
        $rest = ['since' => 1790000000.5, 'waiting' => 7, 'reason' => 'x < y', 'facts' => ['role' => 'a < b']];
        $expected = [
            'refusing' => [true, result::ERROR, 'by: the server since 2026-09-21'],
            'primary' => [true, result::OK, 'by: the server since 2026-09-21'],
            'fallback' => [true, result::WARNING, 'by: the fallback since 2026-09-21'],
            'none' => [false, result::ERROR, 'by: nothing since 2026-09-21'],
        ];
        foreach ($expected as $tier => [$reachable, $status, $text]) {
            $refusing = $tier === 'refusing';
            $health = ['reachable' => $reachable, 'tier' => $refusing ? 'primary' : $tier, 'refusing' => $refusing];
            $result = $this->result_of('a & b', $health + $rest);
            $this->assertSame($status, $result->status);
            foreach ([$text, 'not been told yet: 7', 'x &lt; y', 'role: a &lt; b', 'a &amp; b'] as $part) {
                $this->assertStringContainsString($part, $result->details);
            }
            if ($status !== result::OK) {
                $this->assertStringContainsString('a &amp; b', $result->summary);
                $this->assertSame($tier !== 'fallback', str_contains($result->summary, 'x &lt; y'));
                $this->assertStringContainsString('larder doctor', $result->details);
            }
        }
    }

    public function test_nodes_whose_configuration_differs_are_named_when_all_else_is_well(): void {
        $health = ['reachable' => true, 'tier' => 'primary', 'since' => 0, 'waiting' => 0, 'reason' => ''];
        $result = $this->result_of('mine', $health, ['web2 (near_bytes)']);
        $this->assertSame(result::WARNING, $result->status);
        $this->assertStringContainsString('web2 (near_bytes)', $result->summary);
        $this->assertSame(result::ERROR, $this->result_of('mine', ['refusing' => true] + $health, ['web2'])->status);
    }

    public function test_what_waits_is_counted_to_a_thousand_and_nothing_empty_is_listed(): void {
        $health = ['reachable' => true, 'tier' => 'primary', 'since' => 0, 'waiting' => 1001, 'reason' => '', 'facts' => []];
        $details = $this->result_of('mine', $health)->details;
        $this->assertStringContainsString('not been told yet: &gt; 1000', $details);
        $this->assertStringNotContainsString('reason', $details);
    }

    public function test_an_outage_is_logged_once(): void {
        // A port that nobody listens on, and that nobody of this node has tried before.
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $address = stream_socket_get_name($listener, false);
        fclose($listener);
        $store = new cachestore_larder('mine', $this->configuration(['server' => "redis://{$address}"]));
        $store->initialise($this->definition());
        $log = $this->error_log_of(function () use ($store) {
            $this->assertFalse($store->get('k'));
            \cachestore_larder\error_log::report();
            \cachestore_larder\error_log::report();
        });
        $this->assertSame(1, substr_count($log, 'cachestore_larder: store "mine": '), $log);
    }

    public function test_the_command_for_an_instance_is_told_without_secrets(): void {
        $configuration = $this->configuration(['generation' => 7, 'seal_key' => 'hidden-seal-of-16-bytes']);
        config::$stores = ['mine' => ['plugin' => 'larder', 'configuration' => $configuration]];
        $details = cachestore_larder_status_checks()[1]->get_result()->details;
        $this->assertStringContainsString("--namespace &#039;{$configuration['namespace']}&#039;", $details);
        $this->assertStringContainsString('--option &#039;generation=7&#039; doctor', $details);
        $this->assertStringNotContainsString('hidden', $details);
        foreach (['hidden', 'hid/den', 'hid@den', 'hid/d@en?#'] as $password) {
            $command = \cachestore_larder\configuration::command(['server' => "redis://user:{$password}@h:1/2", 'namespace' => 'n']);
            $this->assertSame("larder --server 'redis://h:1/2' --namespace 'n' doctor", $command);
        }
        $command = \cachestore_larder\configuration::command(['server' => 'redis+unix:///run/a@b', 'namespace' => 'n']);
        $this->assertSame("larder --server 'redis+unix:///run/a@b' --namespace 'n' doctor", $command);
        $command = \cachestore_larder\configuration::command(['server' => 'redis+unix://user:hid/den@/run/a', 'namespace' => 'n']);
        $this->assertSame("larder --server 'redis+unix:///run/a' --namespace 'n' doctor", $command);
    }

    /** Runs in a PHP without the extension. */
    public function test_a_missing_extension_is_critical_where_it_is_needed(): void {
        $script = sprintf(
            'require %s; $show = fn() => print(implode(" ", array_map(fn($c) => $c->get_result()->status,'
                . ' array_slice(cachestore_larder_status_checks(), 0, 2))) . "\n"); $show();'
                . ' core_cache\config::$stores = ["mine" => ["plugin" => "larder", "configuration" => []]]; $show();'
                . ' $store = new cachestore_larder("mine", ["server" => "redis://h"]);'
                . ' var_dump($store->is_ready(), $store->get_warnings() === [], $store->get("key"));',
            var_export(dirname(__DIR__) . '/standin/moodle.php', true)
        );
        exec(escapeshellarg(PHP_BINARY) . ' -n -r ' . escapeshellarg($script) . ' 2>&1', $output, $status);
        $this->assertSame(0, $status, implode("\n", $output));
        $logged = preg_grep('~: store "mine" cannot be used: .*"larder" is not loaded$~', $output);
        $this->assertCount(2, $logged);
        $this->assertSame(
            ['warning na', 'critical na', 'bool(false)', 'bool(false)', 'bool(false)'],
            array_values(array_diff($output, $logged))
        );
    }

    /** What the check says of an instance with this health. */
    private function result_of(string $name, array $health, array $differing = []): result {
        config::$stores = [$name => ['plugin' => 'larder', 'configuration' => $this->configuration()]];
        $check = new class extends \cachestore_larder\check\backend {
            public array $healths;
            public array $differences;

            protected function ask(): array {
                return $this->healths;
            }

            protected function differing(): array {
                return $this->differences;
            }
        };
        $check->healths = [$name => $health];
        $check->differences = $differing;
        return $check->get_result();
    }

    /** Of the first two; the others need a Moodle. */
    private function statuses(): array {
        return array_map(fn($check) => $check->get_result()->status, array_slice(cachestore_larder_status_checks(), 0, 2));
    }
}
