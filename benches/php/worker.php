<?php
/**
 * One process of a replay. Reads commands from its standard input and answers on its standard output, JSON by the line.
 *
 *     php worker.php '{"recording": DIRECTORY, "store": NAME, "target": WHERE}'
 *
 * {"do": "fill"} · {"do": "verify", "offset": PAGE} · {"do": "measure", "offset": PAGE, "pages": […]} · {"do": "first"} · {"do": "warm"} ·
 * {"do": "course", "activities": NUMBER} · {"do": "read course", "times": NUMBER} · {"do": "delete course"} ·
 * {"do": "results"} · {"do": "page"} · {"do": "get", "definition": …, "key": …} · {"do": "set", …, "value": …} ·
 * {"do": "turn", "page": PAGE} · {"do": "change", "count": NUMBER}.
 * Each ends with an answer that has the member "done".
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

error_reporting(E_ALL);
ini_set('display_errors', 'stderr');
foreach (['lib/changes', 'lib/course', 'lib/recording', 'lib/replay', 'stores/store', 'stores/larder', 'stores/file', 'stores/redis', 'stores/apcu', 'stores/memory'] as $file) {
    require_once __DIR__ . "/{$file}.php";
}

$answer = fn(array $what) => fwrite(STDOUT, json_encode($what, JSON_THROW_ON_ERROR) . "\n");
$options = json_decode($argv[1], true, 8, JSON_THROW_ON_ERROR);
$recording = new Recording($options['recording']);
$store = match ($options['store']) {
    'larder' => new LarderStore($options['target'], $recording->definitions()),
    'file' => new FileStore($options['target']),
    'redis' => new RedisStore($options['target'], false),
    'redis-igbinary' => new RedisStore($options['target'], true),
    'apcu' => new ApcuStore(),
    'memory' => new MemoryStore(),
};
$replay = new Replay($recording, $store);

while (($line = fgets(STDIN)) !== false) {
    $command = json_decode($line, true, 8, JSON_THROW_ON_ERROR);
    $result = null;
    switch ($command['do']) {
        case 'fill':
            $replay->fill();
            break;
        case 'verify':
        case 'measure':
            $pages = 0;
            $each = function () use (&$pages, $answer): void {
                ++$pages % 20 === 0 && $answer(['pages' => $pages]);
            };
            $replay->{$command['do']}($command['offset'], $each, $command['pages'] ?? null);
            break;
        case 'warm':
            $result = $store->warm();
            break;
        case 'first':
            $result = $replay->first();
            break;
        case 'results':
            $result = get_object_vars($replay);
            break;
        case 'turn':
            $larder = $store instanceof LarderStore ? $store : null;
            [$trips, $memory] = [$store->roundTrips(), $larder?->fromMemory()];
            $result = Replay::play($recording->pages[$command['page']]->ops, $store);
            $result += ['trips' => $store->roundTrips() - $trips, 'memory' => $larder?->fromMemory() - $memory];
            break;
        case 'change':
            $changes ??= new Changes($recording);
            $store->begin();
            $changes->make($store, $command['count']);
            break;
        case 'page':
            $store->begin();
            break;
        case 'get':
            $before = $store->roundTrips();
            $result = $store->get($command['definition'], $command['key']);
            $result = ['value' => $result, 'trips' => $store->roundTrips() - $before];
            break;
        case 'set':
            $store->set($command['definition'], $command['key'], $command['value']);
            break;
        case 'course':
            // The largest takes more than the usual limit: as the script makes it, as it is read, and as text.
            ini_set('memory_limit', '4G');
            $course = course($command['activities']);
            $text = serialize($course);
            $store->set('core/coursemodinfo', '7', $course);
            $store->begin();
            if (serialize($store->get('core/coursemodinfo', '7')) !== $text) {
                throw new \RuntimeException('another course came back');
            }
            $result = strlen($text);
            unset($course, $text);
            break;
        case 'read course':
            $result = ['read' => [], 'all' => []];
            for ($i = 0; $i < $command['times']; $i++) {
                $before = $store->roundTrips();
                $start = hrtime(true);
                $store->begin();
                $course = $store->get('core/coursemodinfo', '7');
                $read = hrtime(true);
                unset($course);
                $store instanceof LarderStore && $store->end();
                $result['all'][] = hrtime(true) - $start;
                $result['read'][] = $read - $start;
            }
            $result['trips'] = $store->roundTrips() - $before;
            $result['memory'] = $store instanceof LarderStore ? $store->held() : 0;
            break;
        case 'delete course':
            $store->delete('core/coursemodinfo', '7');
            break;
    }
    $answer(['done' => true, 'result' => $result]);
}
