<?php
/**
 * One recorded page as a request of a web server: `?page=NUMBER` of those that the experiment wrote into its directory.
 *
 * The page performs its store operations in order. Between them it works as much as a page of Moodle does beside its caches:
 * PAGE_ROUNDS in all, VALUE_ROUNDS for a value that it missed. `?rounds` measures what a round takes; `?fill` stores all values.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['lib/recording', 'lib/replay', 'lib/working', 'stores/store', 'stores/larder', 'stores/file', 'stores/redis'] as $file) {
    require_once dirname(__DIR__) . "/{$file}.php";
}

if (isset($_GET['rounds'])) {
    // CPU time, since other processes may run beside this one.
    $seconds = fn(array $use) => $use['ru_utime.tv_sec'] + $use['ru_utime.tv_usec'] / 1e6;
    $began = $seconds(getrusage());
    WorkingStore::work(200_000);
    echo 200 / ($seconds(getrusage()) - $began);
    return;
}
$directory = getenv('EXPERIMENT');
['kind' => $kind, 'target' => $target] = json_decode(file_get_contents(getenv('NODE')), true);
$page = require "{$directory}/page" . (isset($_GET['fill']) ? 'fill' : (int)$_GET['page']) . '.php';
try {
    $store = match ($kind) {
        'larder' => new LarderStore($target, $page['definitions'], true),
        'redis', 'redis-igbinary' => new RedisStore($target, $kind === 'redis-igbinary'),
        'file' => new FileStore($target),
    };
    $rounds = isset($_GET['fill']) ? [0, 0] : [(int)getenv('PAGE_ROUNDS'), (int)getenv('VALUE_ROUNDS')];
    Replay::play($page['ops'], new WorkingStore($store, "{$directory}/values", $page['operations'], ...$rounds));
} catch (\RedisException $error) {
    http_response_code(503);
    echo $error->getMessage();
    return;
}
echo "done\n";
