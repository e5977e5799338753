import com.google.gson.JsonObject;

/** An SDK, as far as it is driven. */
interface Sdk {
    /** Makes a call of a scenario. */
    void make(JsonObject call) throws Exception;

    /** Waits until the SDK has settled the call made last: delivered it, or given it up. */
    void settleOne() throws Exception;

    /** Returns when nothing is left to send. */
    void close() throws Exception;
}
