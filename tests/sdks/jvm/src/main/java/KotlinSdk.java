import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.segment.analytics.kotlin.core.AliasEvent;
import com.segment.analytics.kotlin.core.Analytics;
import com.segment.analytics.kotlin.core.BaseEvent;
import com.segment.analytics.kotlin.core.Configuration;
import com.segment.analytics.kotlin.core.Storage;
import com.segment.analytics.kotlin.core.StorageProvider;
import com.segment.analytics.kotlin.core.Telemetry;
import com.segment.analytics.kotlin.core.compat.ConfigurationBuilder;
import com.segment.analytics.kotlin.core.utilities.EventTransformer;
import com.segment.analytics.kotlin.core.utilities.FileEventStream;
import com.segment.analytics.kotlin.core.utilities.PropertiesFile;
import com.segment.analytics.kotlin.core.utilities.StorageImpl;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import kotlin.Unit;
import kotlin.coroutines.EmptyCoroutineContext;
import kotlin.jvm.JvmClassMappingKt;
import kotlin.jvm.functions.Function1;
import kotlin.reflect.KClass;
import kotlinx.coroutines.BuildersKt;
import kotlinx.coroutines.CoroutineDispatcher;
import kotlinx.serialization.json.Json;
import kotlinx.serialization.json.JsonElementKt;
import sovran.kotlin.Store;

/**
 * analytics-kotlin, on the JVM. It has no page call: such a call is left out.
 *
 * <p>It keeps calls in memory until it has the settings document. Its parts hear of that on several threads, so in
 * some starts an older message ("not started yet") overtakes the newer one ("started"), and the SDK keeps its calls
 * until its state changes again, or until they are lost with the process. A user changes the state with
 * {@code enabled = true}. An alias that is made before there is a state is lost, so none is made before that.
 *
 * <p>It does not say when all is delivered, so it stays open until standard input is closed.
 */
final class KotlinSdk implements Sdk {
    /** As short as they can be, so that a test does not wait for the SDK's defaults of 20 calls or 30 seconds. */
    private static final int FLUSH_AT = 1;
    private static final int FLUSH_INTERVAL_SECONDS = 1;
    private static final int LOOK_EVERY_MILLISECONDS = 20;

    private final Path folder;
    private final Analytics analytics;
    /** A permit for each batch settled that was not waited for yet; calls made one by one are batches of one. */
    private final Semaphore settled = new Semaphore(0);
    /** A permit for each call that the SDK has prepared for sending and that was not waited for yet. */
    private final Semaphore prepared = new Semaphore(0);
    /** The calls made, less those that were waited for. */
    private int unprepared;

    KotlinSdk(String writeKey, String url) throws IOException, InterruptedException {
        Analytics.Companion.setDebugLogsEnabled(true);
        Analytics.Companion.setLogger(log -> System.err.println(
            log.getDateTime().toInstant() + " " + Thread.currentThread().getName() + " " + log.getMessage()));
        folder = Files.createTempDirectory("forebay-sdk-");
        // The SDK puts "https://" before it, whatever it is.
        String host = url.replaceFirst("^https://", "") + "/v1";
        Telemetry.INSTANCE.setHost(host);
        Configuration configuration = new ConfigurationBuilder(writeKey)
            .setApplication("forebay")
            .setApiHost(host)
            .setCdnHost(host)
            .setFlushAt(FLUSH_AT)
            .setFlushInterval(FLUSH_INTERVAL_SECONDS)
            .build();
        configuration.setStorageProvider(new Folder());
        configuration.setErrorHandler(error -> {
            System.err.println(error);
            return Unit.INSTANCE;
        });
        analytics = new Analytics(configuration);
        while (analytics.settings() == null) {
            Thread.sleep(LOOK_EVERY_MILLISECONDS);
        }
    }

    @Override
    public void make(JsonObject call) {
        String type = call.get("type").getAsString();
        if (type.equals("page")) {
            settled.release();
            return;
        }
        // The SDK's last step before it writes the call to its file.
        Function1<BaseEvent, BaseEvent> enrichment = event -> {
            prepared.release();
            return enriched(event, call);
        };
        unprepared++;
        switch (type) {
            case "screen" -> {
                String category = text(call, "category");
                analytics.screen(text(call, "name"), object(call, "properties"), category, enrichment);
            }
            case "identify" -> analytics.identify(text(call, "userId"), object(call, "traits"), enrichment);
            case "track" -> analytics.track(text(call, "event"), object(call, "properties"), enrichment);
            case "group" -> analytics.group(text(call, "groupId"), object(call, "traits"), enrichment);
            case "alias" -> analytics.alias(text(call, "userId"), enrichment);
            default -> throw new IllegalArgumentException("no such call: " + type);
        }
    }

    @Override
    public void settleOne() throws InterruptedException {
        prepareAll();
        settled.acquire();
    }

    @Override
    public void close() throws IOException, InterruptedException {
        prepareAll();
        System.in.transferTo(OutputStream.nullOutputStream());
        boolean waitForTasks = true;
        analytics.shutdown(waitForTasks);
        delete(folder.toFile());
    }

    /** Waits until the SDK keeps no call back in memory. */
    private void prepareAll() throws InterruptedException {
        while (!prepared.tryAcquire(unprepared, LOOK_EVERY_MILLISECONDS, TimeUnit.MILLISECONDS)) {
            // A change before it has started could undo the start.
            if (hasStarted()) {
                analytics.setEnabled(true);
            }
        }
        unprepared = 0;
    }

    private boolean hasStarted() throws InterruptedException {
        KClass<com.segment.analytics.kotlin.core.System> kind =
            JvmClassMappingKt.getKotlinClass(com.segment.analytics.kotlin.core.System.class);
        com.segment.analytics.kotlin.core.System state = BuildersKt.runBlocking(
            EmptyCoroutineContext.INSTANCE,
            (scope, continuation) -> analytics.getStore().currentState(kind, continuation));
        return state != null && state.getRunning();
    }

    /** What the SDK's calls take no argument for. */
    private static BaseEvent enriched(BaseEvent event, JsonObject call) {
        ifThere(call, "userId", value -> event.setUserId(value.getAsString()));
        ifThere(call, "anonymousId", value -> event.setAnonymousId(value.getAsString()));
        ifThere(call, "timestamp", value -> event.setTimestamp(value.getAsString()));
        ifThere(call, "previousId", value -> ((AliasEvent) event).setPreviousId(value.getAsString()));
        ifThere(call, "context", context -> eachMember(
            context, (name, value) -> EventTransformer.putInContext(event, name, value)));
        ifThere(call, "integrations", integrations -> eachMember(
            integrations, (name, value) -> EventTransformer.putIntegrations(event, name, value)));
        return event;
    }

    private static void delete(File file) {
        File[] inside = file.listFiles();
        if (inside != null) {
            Arrays.stream(inside).forEach(KotlinSdk::delete);
        }
        file.delete();
    }

    private static void ifThere(JsonObject call, String name, Consumer<JsonElement> use) {
        if (call.has(name)) {
            use.accept(call.get(name));
        }
    }

    private static void eachMember(JsonElement object, BiConsumer<String, kotlinx.serialization.json.JsonElement> use) {
        object.getAsJsonObject().entrySet().forEach(
            member -> use.accept(member.getKey(), converted(member.getValue())));
    }

    private static String text(JsonObject call, String name) {
        return call.get(name).getAsString();
    }

    private static kotlinx.serialization.json.JsonObject object(JsonObject call, String name) {
        return JsonElementKt.getJsonObject(converted(call.get(name)));
    }

    /** Gson's JSON as that of the SDK. */
    private static kotlinx.serialization.json.JsonElement converted(JsonElement value) {
        return Json.Default.parseToJsonElement(value.toString());
    }

    /**
     * The SDK's own storage, but in a folder of this process. By itself the SDK has one for each write key under /tmp,
     * and would send too what a process before this one left there.
     */
    private final class Folder implements StorageProvider {
        @Override
        public Storage createStorage(Object... parameters) {
            Analytics analytics = (Analytics) parameters[0];
            String writeKey = analytics.getConfiguration().getWriteKey();
            PropertiesFile properties = new PropertiesFile(folder.resolve("properties").toFile());
            FileEventStream events = new FileEventStream(folder.resolve("events").toFile());
            CoroutineDispatcher dispatcher = analytics.getFileIODispatcher();
            return new StorageImpl(properties, events, analytics.getStore(), writeKey, "events.index", dispatcher) {
                // The SDK removes a batch's file when it has delivered the batch or given it up.
                @Override
                public boolean removeFile(String path) {
                    boolean removed = super.removeFile(path);
                    settled.release();
                    return removed;
                }
            };
        }

        @Override
        @Deprecated
        public Storage getStorage(
            Analytics analytics, Store store, String writeKey, CoroutineDispatcher dispatcher, Object application) {
            return createStorage(analytics, application);
        }
    }
}
