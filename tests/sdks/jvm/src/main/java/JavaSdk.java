import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.reflect.TypeToken;
import com.google.gson.stream.JsonReader;
import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.io.IOException;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.Date;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;

/** analytics-java. */
final class JavaSdk implements Sdk, Callback {
    private static final Type MAP = new TypeToken<Map<String, Object>>() {}.getType();
    private static final Gson GSON = new GsonBuilder().setObjectToNumberStrategy(JavaSdk::number).create();

    private final Analytics analytics;
    /** A permit for each call settled that was not waited for yet. */
    private final Semaphore settled = new Semaphore(0);
    private int unsettled;

    JavaSdk(String writeKey, String url) {
        analytics = Analytics.builder(writeKey).endpoint(url).callback(this).build();
    }

    @Override
    public void make(JsonObject call) {
        analytics.enqueue(message(call));
        unsettled++;
    }

    @Override
    public void settleOne() throws InterruptedException {
        analytics.flush();
        settled.acquire();
        unsettled--;
    }

    @Override
    public void close() throws InterruptedException {
        analytics.flush();
        settled.acquire(unsettled);
        analytics.shutdown();
    }

    @Override
    public void success(Message message) {
        settled.release();
    }

    @Override
    public void failure(Message message, Throwable error) {
        System.err.println(message.messageId() + " given up: " + error);
        settled.release();
    }

    private static MessageBuilder<?, ?> message(JsonObject call) {
        MessageBuilder<?, ?> message = ofType(call);
        text(call, "userId", message::userId);
        text(call, "anonymousId", message::anonymousId);
        text(call, "timestamp", time -> message.timestamp(Date.from(Instant.parse(time))));
        map(call, "context", message::context);
        if (call.has("integrations")) {
            call.getAsJsonObject("integrations").entrySet().forEach(
                integration -> integrate(message, integration.getKey(), integration.getValue()));
        }
        return message;
    }

    private static MessageBuilder<?, ?> ofType(JsonObject call) {
        String type = call.get("type").getAsString();
        switch (type) {
            case "page" -> {
                PageMessage.Builder page = PageMessage.builder(call.get("name").getAsString());
                text(call, "category", page::category);
                map(call, "properties", page::properties);
                return page;
            }
            case "screen" -> {
                // No category: the SDK has none for screens.
                ScreenMessage.Builder screen = ScreenMessage.builder(call.get("name").getAsString());
                map(call, "properties", screen::properties);
                return screen;
            }
            case "identify" -> {
                IdentifyMessage.Builder identify = IdentifyMessage.builder();
                map(call, "traits", identify::traits);
                return identify;
            }
            case "track" -> {
                TrackMessage.Builder track = TrackMessage.builder(call.get("event").getAsString());
                map(call, "properties", track::properties);
                return track;
            }
            case "group" -> {
                GroupMessage.Builder group = GroupMessage.builder(call.get("groupId").getAsString());
                map(call, "traits", group::traits);
                return group;
            }
            case "alias" -> {
                return AliasMessage.builder(call.get("previousId").getAsString());
            }
            default -> throw new IllegalArgumentException("no such call: " + type);
        }
    }

    private static void integrate(MessageBuilder<?, ?> message, String name, JsonElement setting) {
        if (setting.isJsonObject()) {
            message.integrationOptions(name, GSON.fromJson(setting, MAP));
        } else {
            message.enableIntegration(name, setting.getAsBoolean());
        }
    }

    private static void text(JsonObject call, String name, Consumer<String> set) {
        if (call.has(name)) {
            set.accept(call.get(name).getAsString());
        }
    }

    private static void map(JsonObject call, String name, Consumer<Map<String, Object>> set) {
        if (call.has(name)) {
            set.accept(GSON.fromJson(call.get(name), MAP));
        }
    }

    /** A number as an application would have it, and without loss. */
    private static Number number(JsonReader reader) throws IOException {
        BigDecimal number = new BigDecimal(reader.nextString());
        if (number.scale() > 0) {
            return number.doubleValue();
        }
        boolean fits = number.toBigInteger().bitLength() < Long.SIZE;
        return fits ? number.longValueExact() : number.toBigIntegerExact();
    }
}
